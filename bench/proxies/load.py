"""Load: wrk for HTTP/1.1, h2load for HTTP/2 and for a fixed rate."""

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from processes import Failure

HERE = Path(__file__).parent
H2_CONNECTIONS = 8


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


def h2load(url: str, connections: int, seconds: float, log: Path, streams: int = 1, rate: float | None = None) -> Load:
    """With a rate, over HTTP/1.1 at so many requests a second in all; without one, over HTTP/2 as fast as it goes."""
    log.unlink(missing_ok=True)
    shape = ["-m", str(streams)] if rate is None else ["--h1", "--rps", f"{rate / connections:.0f}"]
    command = ["h2load", "-t1", f"-c{connections}", "-D", f"{seconds:g}", f"--log-file={log}", *shape, url]
    output = output_of(command, seconds)
    found = re.search(r"requests: .* (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", output)
    statuses = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", output)
    if found is None or statuses is None:
        raise Failure(f"{' '.join(command)} said something else than expected:\n{output}")
    errors = [f"{count} failed" for count in (found[2],) if int(count)]
    errors += [f"{count} of another status than 2xx" for count in [sum(map(int, statuses.groups()[1:]))] if count]
    times = sorted(int(line.rsplit("\t", 1)[1]) for line in log.read_text().splitlines())
    log.unlink()
    if not times:
        return Load(0, seconds, 0, 0, "no answer")
    return Load(len(times), seconds, percentile(times, 0.5), percentile(times, 0.99), ", ".join(errors))


def percentile(ordered: list[int], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]
