"""What a process and those that it started have used, as the operating system accounts for it."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from processes import descendants

IDLE_US = 2000  # of CPU time in 0.1 s: timers and statistics go on
CPUCLOCK_SCHED = 2


def cpu_us(pid: int) -> float:
    """User and system time in microseconds, of threads that have ended as well.

    The process's CPU clock (clock_getcpuclockid(3)) is the sum that utime and stime of /proc/PID/stat are
    shown from, in nanoseconds instead of ticks of 10 ms.
    """
    return sum(time.clock_gettime_ns((~process << 3) | CPUCLOCK_SCHED) for process in descendants(pid)) / 1000


def settled_cpu_us(pid: int, seconds: float = 30) -> float:
    """The same once it works no more, so that what is done after an answer counts as well."""
    deadline = time.monotonic() + seconds
    before = cpu_us(pid)
    quiet = 0
    while quiet < 3 and time.monotonic() < deadline:
        time.sleep(0.1)
        now = cpu_us(pid)
        quiet = quiet + 1 if now - before < IDLE_US else 0
        before = now
    return before


def busy_percent(seconds: float) -> float:
    """What all processes use of one core meanwhile, in percent."""
    before = busy_ticks()
    time.sleep(seconds)
    return (busy_ticks() - before) / os.sysconf("SC_CLK_TCK") / seconds * 100


def busy_ticks() -> int:
    """All but idle time and waiting for disks (proc(5), /proc/stat)."""
    user, nice, system, _, _, *others = map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9])
    return user + nice + system + sum(others)


@dataclass
class Memory:
    """Kibibytes of resident memory."""

    now: int
    peak: int


def memory(pid: int) -> Memory:
    now = peak = 0
    for process in descendants(pid):
        fields = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
        now += int(fields["VmRSS"].split()[0])
        peak += int(fields["VmHWM"].split()[0])
    return Memory(now, peak)


def reset_peak(pid: int) -> None:
    """VmHWM begins again at VmRSS, so that each row has a peak of its own (proc(5), clear_refs)."""
    for process in descendants(pid):
        Path(f"/proc/{process}/clear_refs").write_text("5")
