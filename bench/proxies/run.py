#!/usr/bin/env python3
"""miffy beside nginx, HAProxy and Envoy on this machine: what a request costs, how long it takes, what memory it needs.

Needs nginx, libnginx-mod-http-echo, wrk, nghttp2-client, and requirements.txt in the virtual environment that this
runs in; haproxy takes part where it is installed. The broker is a real Apache Kafka (scripts/kafka.sh: java, mvn).
Everything shares the machine's cores: compare the rows of a run with each other, not with other machines.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from cases import CASES, Case, Ratio
from contenders import Miffy, Setup, find_envoy
from measure import Plan, prepare, run_case
from processes import Failure, Process, Processes, is_taken
from report import Report
from upstreams import upstreams

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "bench/results"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
BROKER_PORT = 3190
PACKAGES = {"nginx": "nginx", "wrk": "wrk", "h2load": "nghttp2-client", "rustc": "Rust"}


def named_binary(text: str) -> Miffy:
    name, _, path = text.partition("=")
    if not path or "," in name:
        raise argparse.ArgumentTypeError("NAME=PATH is wanted, and no comma in the name")
    return Miffy(name, Path(path).resolve())


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [case.name for case in CASES]
    parser.add_argument("--only", metavar="CASE,…", help=f"of {', '.join(names)}; all when left out")
    parser.add_argument("--rounds", type=int, default=5, help="5 when left out")
    parser.add_argument("--seconds", type=float, default=5, help="of each row in each round; 5 when left out")
    parser.add_argument("--quick", action="store_true", help="one round of one second")
    parser.add_argument("--miffy", type=named_binary, action="append", metavar="NAME=PATH", help="a build; any number of them")
    parser.add_argument("--without", metavar="PROXY,…", default="", help="of haproxy, envoy: leaves them out")
    parser.add_argument("--broker", choices=["kafka", "mock"], default="kafka", help="mock is the embedded one, for a quick look")
    parser.add_argument("--clients", type=int, default=10_000, help="idle ones; 10000 when left out")
    parser.add_argument("--publish", action="store_true", help="put the tables and the plot into docs/")
    given = parser.parse_args()
    given.cases = chosen(parser, given.only)
    given.without = [name for name in given.without.split(",") if name]
    if not set(given.without) <= {"haproxy", "envoy"}:
        parser.error("haproxy and envoy can be left out")
    if given.publish and "main" not in [case.name for case in given.cases]:
        parser.error("--publish needs the case main")
    return given


def chosen(parser: argparse.ArgumentParser, only: str | None) -> list[Case]:
    by_name = {case.name: case for case in CASES}
    names = only.split(",") if only else list(by_name)
    for name in names:
        if name not in by_name:
            parser.error(f"there is no case {name!r}; there are {', '.join(by_name)}")
    return [by_name[name] for name in names]


@contextmanager
def broker(kind: str) -> Iterator[str]:
    """The address of one that runs."""
    if is_taken(BROKER_PORT):
        raise Failure(f"port {BROKER_PORT}, which the broker needs, is taken")
    address = f"127.0.0.1:{BROKER_PORT}"
    if kind == "mock":
        binary = TARGET / "release/examples/broker"
        if not binary.exists():
            raise Failure(f"{binary} is missing; cargo build --release --example broker makes it")
        with Processes() as processes:
            processes.start(Process("the broker", [str(binary), "miffy-bench", address], [BROKER_PORT], RESULTS / "broker.log"))
            yield address
        return
    env = {**os.environ, "KAFKA_TEST_HOME": str(ROOT / ".kafka/proxies"), "KAFKA_TEST_PORT": str(BROKER_PORT)}
    script = str(ROOT / "scripts/kafka.sh")
    try:
        if subprocess.run([script, "start"], env=env, stdout=subprocess.DEVNULL, check=False, start_new_session=True).returncode:
            raise Failure("Kafka did not start")
        yield address
    finally:
        subprocess.run([script, "stop"], env=env, check=False, start_new_session=True)


def setup(given: argparse.Namespace, address: str) -> Setup:
    missing = [package for command, package in PACKAGES.items() if shutil.which(command) is None]
    if missing:
        raise Failure(f"not installed: {', '.join(missing)}")
    miffys = given.miffy or [Miffy("miffy", TARGET / "dist/miffy")]
    for miffy in miffys:
        if not miffy.binary.exists():
            raise Failure(f"{miffy.binary} is missing; cargo build --profile dist makes it")
    haproxy = "haproxy" not in given.without and shutil.which("haproxy") is not None
    envoy = None if "envoy" in given.without else find_envoy()
    return Setup(RESULTS / "proxies", address, miffys, haproxy, envoy)


def beside_first(case: Case, miffys: list[Miffy]) -> Case:
    """With a column for what other builds need beside the first one."""
    if len(miffys) < 2 or case.name in ("idle", "routes"):
        return case
    return replace(case, ratios=[*case.ratios, Ratio(f"CPU ÷ {miffys[0].name}", "cpu", miffys[0].name)])


def broker_version(kind: str) -> str:
    if kind == "mock":
        return "librdkafka's mock"
    pom = (ROOT / "scripts/kafka/pom.xml").read_text()
    found = re.search(r"<artifactId>kafka_[\d.]+</artifactId>\s*<version>(.*?)</version>", pom)
    return f"Apache Kafka {found[1]}" if found else "Apache Kafka"


def say(text: str) -> None:
    print(f"{time.strftime('%T')} {text}", file=sys.stderr, flush=True)


def measured(given: argparse.Namespace) -> Report:
    setup(given, "")  # what is missing is told before anything starts
    prepare(RESULTS / "proxies", given.clients)
    plan = Plan(1, 1, given.clients) if given.quick else Plan(given.rounds, given.seconds, given.clients)
    with broker(given.broker) as address, Processes() as processes:
        run = setup(given, address)
        processes.start(upstreams(run.home / "upstreams"))
        report = Report(run, plan, broker_version(given.broker))
        for case in given.cases:
            say(f"case {case.name}: {case.title}")
            report.add(beside_first(case, run.miffys), run_case(case, run, plan, say))
            report.write(RESULTS)
    return report


def main() -> int:
    given = options()
    # Ctrl-C ends it in order even where a shell has it ignored, as for what runs in the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        report = measured(given)
    except Failure as failure:
        print(f"bench-compare: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(report.markdown())
    if given.publish:
        from plot import plot  # matplotlib is for this alone

        report.publish(ROOT / "docs/performance.md")
        plot(report, ROOT / "docs/performance.svg")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
