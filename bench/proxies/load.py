"""Load: wrk for HTTP/1.1, h2load for HTTP/2, and a program of our own for fixed rates."""

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from processes import Failure

HERE = Path(__file__).parent


@dataclass
class Load:
    """What came back. Times are in microseconds; `error` is empty if all was as it should be."""

    requests: int
    seconds: float
    p50: float
    p99: float
    error: str

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


def output_of(command: list[str], seconds: float) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)
    if done.returncode != 0:
        raise Failure(f"{' '.join(command)} failed: {done.stderr or done.stdout}")
    return done.stdout


def wrk(url: str, connections: int, seconds: float) -> Load:
    threads = min(2, connections)
    command = ["wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds:g}s", "-s", str(HERE / "templates/done.lua"), url]
    output = output_of(command, seconds)
    found = json.loads(output.splitlines()[-1])
    errors = [f"{found[kind]} {kind}" for kind in ("connect", "read", "write", "status", "timeout") if found[kind]]
    if not found["requests"]:
        errors.append("no answer")
    return Load(found["requests"], found["duration_us"] / 1e6, found["p50_us"], found["p99_us"], ", ".join(errors))


def build_paced(home: Path) -> Path:
    program = home / "paced"
    output_of(["rustc", "-O", "--edition", "2024", "-o", str(program), str(HERE / "paced.rs")], 60)
    return program


def paced(program: Path, port: int, path: str, connections: int, rate: float, seconds: float) -> Load:
    """HTTP/1.1 at so many requests a second in all."""
    command = [str(program), f"127.0.0.1:{port}", path, str(connections), f"{rate:.1f}", f"{seconds:g}"]
    found = json.loads(output_of(command, seconds))
    error = f"{found['failed']} failed" if found["failed"] else ""
    return Load(found["requests"], found["duration_us"] / 1e6, found["p50_us"], found["p99_us"], error)


def h2load(url: str, connections: int, streams: int, seconds: float, log: Path) -> Load:
    """HTTP/2 without TLS, as fast as it goes."""
    log.unlink(missing_ok=True)
    command = ["h2load", "-t1", f"-c{connections}", f"-m{streams}", "-D", f"{seconds:g}", f"--log-file={log}", url]
    output = output_of(command, seconds)
    found = re.search(r"requests: .* (\d+) succeeded, (\d+) failed", output)
    statuses = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", output)
    if found is None or statuses is None:
        raise Failure(f"{' '.join(command)} said something else than expected:\n{output}")
    others = sum(map(int, statuses.groups()[1:]))
    errors = [f"{found[2]} failed"] if int(found[2]) else []
    errors += [f"{others} of another status than 2xx"] if others else []
    times = sorted(int(line.rsplit("\t", 1)[1]) for line in log.read_text().splitlines())
    log.unlink()
    if not times:
        return Load(0, seconds, 0, 0, "no answer")
    return Load(len(times), seconds, percentile(times, 0.5), percentile(times, 0.99), ", ".join(errors))


def percentile(ordered: list[int], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]
