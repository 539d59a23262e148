"""Rows: each contender under each load, in rounds."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

import idle
import ledger
import load
from cases import Case, Step
from contenders import Contender, Setup, Starter
from processes import Failure, Processes
from usage import busy_percent, cpu_us, memory, reset_peak, settled_cpu_us

WARM_UP_SECONDS = 1.0
H2_STREAMS = 4
HELD = 0.97  # of a rate
BUSY = 20.0  # percent of a core, while nothing is measured: Kafka and timers need less
FILES_BESIDE = 5000  # of a proxy that has many clients


@dataclass
class Row:
    """One contender in one step, a value of each metric for each round."""

    step: str
    contender: str
    is_miffy: bool
    samples: list[dict[str, float]] = field(default_factory=list)
    notes: dict[str, list[float]] = field(default_factory=dict)  # in percent, of the rounds that had something to tell
    errors: list[str] = field(default_factory=list)

    def value(self, metric: str) -> float | None:
        values = [sample[metric] for sample in self.samples if metric in sample]
        return median(values) if values else None

    def add(self, sample: dict[str, float], notes: dict[str, float], errors: list[str]) -> None:
        self.samples.append(sample)
        number = len(self.samples)
        for name, percent in notes.items():
            self.notes.setdefault(name, []).append(percent)
        self.errors += [f"round {number}: {error}" for error in errors]


@dataclass
class Plan:
    """How long a run measures."""

    rounds: int
    seconds: float
    clients: int
    rates: dict[str, float] = field(default_factory=dict)  # by the path that they are half of


def drive(contender: Contender, step: Step, seconds: float, setup: Setup, plan: Plan) -> load.Load:
    port = contender.h2_port if step.protocol == "h2" else contender.port
    url = f"http://127.0.0.1:{port}{step.path}"
    if step.half_of is not None:
        return load.paced(setup.home / "paced", port, step.path, step.connections, plan.rates[step.half_of], seconds)
    if step.protocol == "h2":
        return load.h2load(url, step.connections, H2_STREAMS, seconds, setup.home / "h2load.log")
    return load.wrk(url, step.connections, seconds)


def settle(contender: Contender, step: Step, before: ledger.Ledger | None, requests: int) -> tuple[float, ledger.Ledger | None]:
    """CPU time, and the ledger since, once nothing is left to do."""
    cpu = settled_cpu_us(contender.pid)
    if before is None or not step.mirrored:
        return cpu, None
    since = ledger.read(contender).since(before)
    if step.endless or since.is_settled(requests):
        return cpu, since
    since = ledger.await_settled(contender, before, requests)
    return settled_cpu_us(contender.pid), since


def sample(row: Row, contender: Contender, step: Step, setup: Setup, plan: Plan) -> None:
    busy = busy_percent(0.2)
    before = ledger.read(contender) if contender.is_miffy else None
    reset_peak(contender.pid)
    cpu_before = cpu_us(contender.pid)
    result = drive(contender, step, plan.seconds, setup, plan)
    cpu, since = settle(contender, step, before, result.requests)
    notes: dict[str, float] = {}
    errors = [result.error] if result.error else []
    if since is not None:
        # Of a candidate that hangs, outcomes come when nobody waits for them any more.
        requests = since.outcomes.total() if step.endless else result.requests
        under_way = step.connections * (H2_STREAMS if step.protocol == "h2" else 1)
        notes = since.notes(step.outcome, under_way)
        errors += since.errors(step.outcome, requests, under_way)
    if busy > BUSY:
        notes["others' CPU before"] = busy
    if step.half_of is not None and result.rate < HELD * plan.rates[step.half_of]:
        notes["of the rate held"] = 100 * result.rate / plan.rates[step.half_of]
    row.add(
        {
            "requests": result.requests, "rate": result.rate, "p50": result.p50, "p99": result.p99,
            "cpu": (cpu - cpu_before) / max(1, result.requests), "peak": memory(contender.pid).peak / 1024,
        },
        notes, errors,
    )


def rotated(contenders: list[Contender], by: int) -> list[Contender]:
    by %= len(contenders)
    return contenders[by:] + contenders[:by]


def find_rates(case: Case, nginx: Contender, setup: Setup, plan: Plan) -> None:
    for path in {step.half_of for step in case.steps if step.half_of is not None}:
        plan.rates[path] = drive(nginx, Step("", path), plan.seconds, setup, plan).rate / 2
        settled_cpu_us(nginx.pid)


def run_case(case: Case, setup: Setup, plan: Plan, say: Callable[[str], None]) -> list[Row]:
    with Processes() as processes:
        starter = Starter(setup, processes)
        more = [replace(miffy, skips=False) for miffy in setup.miffys] if case.all_compared else []
        contenders = starter.all(more) if case.routes == [1] else starter.miffys(case.routes)
        if case.name == "idle":
            return [measure_idle(contender, plan, setup) for contender in contenders]
        find_rates(case, contenders[0], setup, plan)
        pairs = [(step, contender) for step in case.steps for contender in contenders if contender.takes(step)]
        rows = {(step.name, contender.name): Row(step.name, contender.name, contender.is_miffy) for step, contender in pairs}
        for number in range(plan.rounds):
            for step in case.steps:
                for contender in rotated(contenders, number):
                    row = rows.get((step.name, contender.name))
                    if row is None:
                        continue
                    if not row.samples and not step.endless:
                        warm_up(contender, step, setup, plan)
                    sample(row, contender, step, setup, plan)
                    say(f"{step.name} · {contender.name} · round {number + 1}: " + brief(row))
        return list(rows.values())


def warm_up(contender: Contender, step: Step, setup: Setup, plan: Plan) -> None:
    before = ledger.read(contender) if contender.is_miffy else None
    result = drive(contender, step, WARM_UP_SECONDS, setup, plan)
    settle(contender, step, before, result.requests)


def brief(row: Row) -> str:
    last = row.samples[-1]
    return f"{last['rate']:.0f}/s, p99 {last['p99']:.0f} µs, {last['cpu']:.1f} µs CPU"


def measure_idle(contender: Contender, plan: Plan, setup: Setup) -> Row:
    row = Row(f"{plan.clients} clients", contender.name, contender.is_miffy)
    drive(contender, Step("", "/pass/0.5KB"), WARM_UP_SECONDS, setup, plan)
    settled_cpu_us(contender.pid)
    before = memory(contender.pid).now
    with idle.clients(contender.port, "/pass/0.5KB", plan.clients):
        settled_cpu_us(contender.pid)
        held = memory(contender.pid).now
        cpu = cpu_us(contender.pid)
        time.sleep(2)
        cpu = (cpu_us(contender.pid) - cpu) / 2e4
    row.add({"before": before / 1024, "held": held / 1024, "connection": (held - before) / plan.clients, "idle_cpu": cpu}, {}, [])
    return row


def prepare(home: Path, clients: int) -> None:
    home.mkdir(parents=True, exist_ok=True)
    if idle.raise_limit() < clients + FILES_BESIDE:
        raise Failure(f"no more than {idle.raise_limit()} files may be open; raise that with ulimit -n")
    load.build_paced(home)
