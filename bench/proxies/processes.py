"""Processes that a run starts, each of which it ends by its id, whatever happens."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType


class Failure(Exception):
    """What ends a run: its text tells the reader what to do."""


def is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def descendants(pid: int) -> list[int]:
    """A process and those that it started, and so on."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [other for child in task.read_text().split() for other in descendants(int(child))]
        except OSError:
            continue  # that thread has ended
    return found


class Process:
    """A process with the ports that it serves, whose output goes to a log."""

    def __init__(self, name: str, command: list[str], ports: list[int], log: Path, env: dict[str, str] | None = None):
        self.name = name
        self.ports = ports
        self.log = log
        for port in ports:
            if is_taken(port):
                raise Failure(f"port {port}, which {name} needs, is taken")
        with log.open("ab") as output:
            # A group of its own, so that Ctrl-C reaches this program alone, which then ends them in order.
            self.child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env={**os.environ, **(env or {})}, start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.child.pid

    def await_ports(self, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        for port in self.ports:
            while not is_taken(port):
                if self.child.poll() is not None:
                    raise Failure(f"{self.name} ended while starting; see {self.log}:\n{self.tail()}")
                if time.monotonic() > deadline:
                    raise Failure(f"{self.name} does not listen on port {port}; see {self.log}")
                time.sleep(0.05)

    def tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-5:])

    def end(self) -> None:
        """Ends it with what it started: one that has children is asked first, so that it sees to them."""
        family = descendants(self.pid) if self.child.poll() is None else []
        if len(family) > 1:
            self.child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.child.wait(5)
        for pid in family:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.child.wait()


class Processes:
    """All that run, ended in reverse order when the block ends."""

    def __init__(self) -> None:
        self.running: list[Process] = []

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # A second signal must not leave any of them behind.
        before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
        for process in reversed(self.running):
            process.end()
        self.running.clear()
        for number, handler in before.items():
            signal.signal(number, handler)

    def start(self, process: Process) -> Process:
        self.running.append(process)
        process.await_ports()
        return process
