"""Tables, the raw figures, and the machine that they are of."""

import json
import platform
import re
import subprocess
from pathlib import Path

from cases import ONE_ROUTE, OWN, Case, Ratio
from contenders import Setup
from measure import Plan, Row

COLUMNS = {
    "rate": ("requests/s", "{:,.0f}"), "p50": ("p50 µs", "{:,.0f}"), "p99": ("p99 µs", "{:,.0f}"),
    "cpu": ("CPU µs/request", "{:.1f}"), "peak": ("peak MiB", "{:.0f}"),
}
IDLE_COLUMNS = {
    "before": ("MiB before", "{:.1f}"), "held": ("MiB with them", "{:.1f}"),
    "connection": ("KiB per connection", "{:.1f}"), "idle_cpu": ("CPU % meanwhile", "{:.2f}"),
}
PLOT = "![CPU time of a request and requests per second, of each proxy](performance.svg)"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def cell(pattern: str, value: float | None) -> str:
    return "–" if value is None else pattern.format(value)


def ratio_of(row: Row, rows: dict[tuple[str, str], Row], ratio: Ratio) -> float | None:
    if ratio.steps is not None and row.step not in ratio.steps:
        return None
    contender = {OWN: row.contender, ONE_ROUTE: row.contender.split(", ")[0]}.get(ratio.contender, ratio.contender)
    base = rows.get((ratio.step or row.step, contender))
    above, below = row.value(ratio.metric), base.value(ratio.metric) if base else None
    return above / below if above is not None and below else None


def remarks_of(row: Row) -> str:
    """Errors, and the notes with the least and the most of them that a round had."""
    texts = ["**error**: " + "; ".join(row.errors)] if row.errors else []
    for name, percents in row.notes.items():
        least = min(percents) if len(percents) == len(row.samples) else 0
        span = {f"{least:.1f}", f"{max(percents):.1f}"}
        texts.append(f"{name} {'–'.join(sorted(span, key=float))} %")
    return "; ".join(texts)


def table(case: Case, rows: list[Row]) -> str:
    columns = IDLE_COLUMNS if case.name == "idle" else COLUMNS
    by_key = {(row.step, row.contender): row for row in rows}
    has_remarks = any(row.errors or row.notes for row in rows)
    head = ["", "proxy", *(title for title, _ in columns.values()), *(ratio.title for ratio in case.ratios)]
    head += ["remarks"] if has_remarks else []
    lines = [f"### {case.title}", "", "| " + " | ".join(head) + " |"]
    lines.append("|---|---|" + "--:|" * (len(columns) + len(case.ratios)) + ("---|" if has_remarks else ""))
    for row in rows:
        cells = [row.step, row.contender, *(cell(pattern, row.value(metric)) for metric, (_, pattern) in columns.items())]
        cells += [cell("{:.2f}", ratio_of(row, by_key, ratio)) for ratio in case.ratios]
        cells += [remarks_of(row)] if has_remarks else []
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def first_line(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return next((line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()), "unknown")


def machine() -> dict[str, str]:
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    return {
        "processor": model[1] if model else platform.machine(),
        "cores": str(len(re.findall(r"^processor\s*:", Path("/proc/cpuinfo").read_text(), re.MULTILINE))),
        "memory": f"{int(memory[1]) / 2**20:.0f} GiB" if memory else "unknown",
        "kernel": f"Linux {platform.release()}",
    }


def versions(setup: Setup, kafka: str) -> dict[str, str]:
    found = {miffy.name: first_line(str(miffy.binary), "--version").removeprefix("miffy ") for miffy in setup.miffys}
    found["nginx"] = first_line("nginx", "-v").removeprefix("nginx version: nginx/")
    if setup.haproxy:
        found["HAProxy"] = first_line("haproxy", "-v").split(" ")[2]
    if setup.envoy:
        envoy = re.search(r"/(\d+\.\d+\.\d+)/", first_line(str(setup.envoy), "--version"))
        found["Envoy"] = envoy[1] if envoy else "unknown"
    found["broker"] = kafka
    found["wrk"] = first_line("wrk", "-v").split(" ")[1]
    found["h2load"] = first_line("h2load", "--version").split("/")[-1]
    return found


class Report:
    """What a run has found so far."""

    def __init__(self, setup: Setup, plan: Plan, kafka: str):
        self.plan = plan
        self.machine = machine()
        self.versions = versions(setup, kafka)
        self.cases: list[tuple[Case, list[Row]]] = []

    def add(self, case: Case, rows: list[Row]) -> None:
        self.cases.append((case, rows))

    @property
    def main(self) -> list[Row]:
        return next(rows for case, rows in self.cases if case.name == "main")

    @property
    def failed(self) -> bool:
        return any(row.errors and row.is_miffy for _, rows in self.cases for row in rows)

    def markdown(self) -> str:
        machine = "{processor}, {cores} cores, {memory}, {kernel}".format(**self.machine)
        of = "; ".join(f"{name} {version}" for name, version in self.versions.items())
        lines = [
            f"Machine: {machine}. Versions: {of}.",
            f"Medians of {self.plan.rounds} interleaved rounds of {self.plan.seconds:g} s each.", "",
        ]
        return "\n".join(lines) + "\n" + "\n".join(table(case, rows) for case, rows in self.cases)

    def write(self, results: Path) -> None:
        raw = {
            "machine": self.machine, "versions": self.versions,
            "rounds": self.plan.rounds, "seconds": self.plan.seconds, "rates": self.plan.rates,
            "cases": {case.name: [vars(row) for row in rows] for case, rows in self.cases},
        }
        (results / "proxies.json").write_text(json.dumps(raw, indent=1, ensure_ascii=False) + "\n")
        (results / "proxies.md").write_text(self.markdown())

    def publish(self, page: Path) -> None:
        """Puts the tables between the page's markers."""
        before, _, rest = page.read_text().partition(BEGIN)
        _, _, after = rest.partition(END)
        page.write_text(f"{before}{BEGIN}\n{PLOT}\n\n{self.markdown()}{END}{after}")
