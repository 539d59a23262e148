"""What all contenders stand in front of: one nginx that is the reference on one port and the candidate on another."""

import json
import os
import random
from pathlib import Path
from string import Template

from processes import Failure, Process

HERE = Path(__file__).parent
REFERENCE_PORT = 3100
CANDIDATE_PORT = 3101
SIZES = {"0.5KB": 443, "16KB": 16_000, "1MB": 1_000_000}
ECHO = Path("/usr/lib/nginx/modules/ngx_http_echo_module.so")
SLOW = {"reference": "0.001", "candidate": "0.010"}


def template(name: str, values: dict[str, object]) -> str:
    return Template((HERE / "templates" / name).read_text()).substitute(values)


def nginx(name: str, home: Path, configuration: str, ports: list[int]) -> Process:
    home.mkdir(parents=True, exist_ok=True)
    file = home / "nginx.conf"
    file.write_text(configuration)
    command = ["nginx", "-p", str(home), "-e", str(home / "error.log"), "-c", str(file)]
    return Process(name, command, ports, home / "log")


def user() -> str:
    """Workers have to read what a run has written, wherever that is."""
    return "user root;" if os.geteuid() == 0 else ""


def body(size: int, price: float) -> str:
    """A JSON document of exactly that size, with the price of one item in its middle."""
    chance = random.Random(size)
    count = max(1, (size - 60) // 128)

    def items() -> list[dict[str, object]]:
        return [
            {
                "id": chance.randrange(10**9, 10**10), "name": f"{chance.getrandbits(96):024x}", "price": 12.75,
                "stock": chance.randrange(100, 1000), "tags": ["blue", "large"], "active": True,
            }
            for _ in range(count)
        ]

    document = {"items": items(), "padding": ""}
    document["items"][count // 2]["price"] = price  # type: ignore[index]
    text = json.dumps(document, separators=(",", ":"))
    if len(text) > size:
        raise ValueError(f"{len(text)} bytes are over {size}")
    return text.replace('"padding":""', f'"padding":"{"x" * (size - len(text))}"')


def answer(path: str, file: Path, steps: str = "") -> str:
    """One location. Small bodies are part of the configuration, which takes no large ones."""
    text = file.read_text()
    give = f"return 200 '{text}';" if len(text) < 4000 else f'alias {file}; add_header Last-Modified "";'
    if not steps:
        return f"        location = {path} {{ {give} }}\n"
    name = "@" + path.strip("/").replace("/", "-")
    return f"        location = {path} {{ {steps} echo_exec {name}; }}\n        location {name} {{ {give} }}\n"


def locations(role: str, home: Path) -> str:
    lines = ""
    for name, size in SIZES.items():
        files = {}
        for kind, price in (("equal", 12.75), ("different", 12.75 if role == "reference" else 13.75)):
            files[kind] = home / f"{role}-{kind}-{name}.json"
            files[kind].write_text(body(size, price))
        lines += answer(f"/pass/{name}", files["equal"])
        for kind, file in files.items():
            lines += answer(f"/mirror/{kind}/{name}", file)
    small = home / f"{role}-equal-0.5KB.json"
    lines += answer("/pass/slow", small, f"echo_sleep {SLOW[role]};")
    lines += answer("/mirror/slow/0.5KB", small, f"echo_sleep {SLOW[role]};")
    # The candidate takes it and never answers.
    lines += answer("/mirror/hang/0.5KB", small, "echo_sleep 86400;" if role == "candidate" else "")
    # What many routes have behind them.
    return lines + answer("/mirror/routes/0.5KB", small)


def upstreams(home: Path) -> Process:
    if not ECHO.exists():
        raise Failure(f"{ECHO} is missing; install libnginx-mod-http-echo")
    home.mkdir(parents=True, exist_ok=True)
    values = {
        "echo_module": ECHO, "user": user(), "home": home,
        "reference_port": REFERENCE_PORT, "candidate_port": CANDIDATE_PORT,
        "reference": locations("reference", home), "candidate": locations("candidate", home),
    }
    return nginx("the upstreams' nginx", home, template("upstreams.conf", values), [REFERENCE_PORT, CANDIDATE_PORT])
