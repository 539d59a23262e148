#!/usr/bin/env python3
"""The tables of docs/capacity.md, from the figures below.

    bench/capacity.py [--write | --check]    prints them; puts them into the page; fails if that has others
"""

import math
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "capacity.md"
BEGIN, END = "<!-- bench/capacity.py: begin -->\n", "<!-- bench/capacity.py: end -->\n"
RATES = [1_000, 50_000, 1_000_000]
MEASURED, ASSUMED = "[performance.md](performance.md#results)", "assumed: put yours here"

# Symbol: (value, unit, meaning, where it was measured)
FIGURES = {
    "P": (31, "µs", "CPU for a request that passes through", MEASURED),
    "E": (50, "µs", "CPU for a mirrored request, answers equal", MEASURED),
    "D": (76, "µs", "CPU for a mirrored request, answers different, published", MEASURED + ", at a rate at which few are skipped"),
    "B": (25, "MB", "memory of a process without clients", MEASURED),
    "K": (21, "KB", "memory of a connection that is in use, a client's or a backend's; a quiet client's is 7", MEASURED + ", and before HTTP/1.1 was miffy's own"),
    "r": (2.4, "KB", "a record", "[delivery.md](delivery.md#what-was-measured)"),
    "m": (1.0, "", "share of the requests that is mirrored", ASSUMED),
    "d": (0.01, "", "share of these that differs", ASSUMED),
    "q": (0.5, "KB", "a request, head and body", ASSUMED),
    "a": (2.0, "KB", "an answer, head and body", ASSUMED),
    "Lr": (20, "ms", "the reference's mean time for an answer", ASSUMED),
    "Lc": (30, "ms", "the candidate's", ASSUMED),
    "c": (10, "/s", "requests of one client connection", ASSUMED),
    "h": (0.6, "", "share of the CPU that is used: with one of three zones gone, it is 0.9", "chosen"),
    "C": (4, "", "cores of a pod", "chosen"),
    "N0": (3, "", "pods at least: one for each of three zones", "chosen"),
    "b": (4, "", "bursts, over the mean: of exchanges in flight, and of what slows down", "chosen"),
    "F": (3, "", "copies that Kafka keeps (replication factor)", ASSUMED),
    "g": (3, "", "what Kafka can take, over what comes: after an outage of T it catches up in T / (g - 1)", "chosen"),
    "p": (10, "MB/s", "one partition takes", ASSUMED),
    "T": (3600, "s", "an outage of Kafka", "chosen"),
}
V = {name: value for name, (value, *_) in FIGURES.items()}


def plan(R, m=V["m"], d=V["d"]):
    """Everything for a rate, in seconds and bytes; the formulas are the page's."""
    us, ms, KB, MB, v = 1e-6, 1e-3, 1e3, 1e6, V
    busy = R * ((1 - m) * v["P"] + m * ((1 - d) * v["E"] + d * v["D"])) * us
    cores = busy / v["h"]
    N = max(v["N0"], math.ceil(cores / v["C"]))
    clients, live, candidate = R / v["c"] / N, R * v["Lr"] * ms / N, R * m * v["Lc"] * ms / N
    mirrored = R * m * max(v["Lr"], v["Lc"]) * ms / N
    sockets = clients + v["b"] * (live + candidate) + 100
    captured = v["b"] * mirrored * (v["q"] + 2 * v["a"]) * KB
    found, records = R * m * d, R * m * d * v["r"] * KB
    queue, spool = records / N * 2 * 2, records * v["T"] / N
    base = v["B"] * MB + v["K"] * KB * sockets
    memory = base + captured + 2 * queue
    bound = base + max(captured, 256 * 2**20) + 2 * max(queue, 64 * 2**20)
    into, out = R * (v["q"] + v["a"] + m * v["a"]) * KB, R * (v["q"] + v["a"] + m * v["q"]) * KB + records
    partitions = max(3, math.ceil(records * v["g"] / (v["p"] * MB)))
    return locals()


def human(x):
    """A number that is read, not calculated with."""
    return f"{math.ceil(round(x, 6)):,}" if x >= 100 or x == int(x) else f"{x:.2g}"


def size(x):
    power = min(int(math.log10(x)) // 3, 4)
    return f"{x / 1000**power:.3g} {['B', 'KB', 'MB', 'GB', 'TB'][power]}"


def raised(need, default, unit=""):
    """A key's value: its default where that is enough, else the next power of two."""
    need /= {"": 1, "MiB": 2**20, "GiB": 2**30}[unit]
    return f"{default}{unit}, the default" if need <= default else f"**{2 ** math.ceil(math.log2(need)):g}{unit}**"


def table(head, rows):
    head, *rows = ("| " + " | ".join(row) + " |\n" for row in [head, *rows])
    return head + "|---|" + "--:|" * (head.count("|") - 2) + "\n" + "".join(rows)


def pages():
    plans = [plan(R) for R in RATES]
    rates = [f"{R:,}/s" for R in RATES]
    row = lambda name, of: [name, *(of(it) for it in plans)]
    yield "### Figures\n"
    yield "| | | | measured |\n|---|--:|---|---|\n" + "".join(
        f"| {name} | {f'{value} {unit}'.strip()} | {meaning} | {where} |\n" for name, (value, unit, meaning, where) in FIGURES.items())
    yield "### The plan\n"
    yield table(["requests", *rates], [
        row("cores that are busy", lambda it: human(it["busy"])),
        row("cores to have", lambda it: human(it["cores"])),
        row(f"**pods of {V['C']} cores**", lambda it: f"**{it['N']}**"),
        row("each pod: requests per second", lambda it: human(it["R"] / it["N"])),
        row("each pod: client connections", lambda it: human(it["clients"])),
        row("each pod: live requests in flight", lambda it: human(it["live"])),
        row("each pod: mirrored exchanges in flight", lambda it: human(it["mirrored"])),
        row("each pod: sockets, at a burst", lambda it: human(it["sockets"])),
        row("each pod: file-descriptor limit", lambda it: human(2 ** math.ceil(math.log2(2 * it["sockets"])))),
        row("each pod: bodies captured, at a burst", lambda it: size(it["captured"])),
        row("each pod: memory, as planned", lambda it: size(it["memory"])),
        row("each pod: memory, every bound reached", lambda it: size(it["bound"])),
        row("each pod: spool for the outage", lambda it: size(it["spool"])),
        row("each pod: disk while Kafka is away", lambda it: size(it["records"] / it["N"]) + "/s"),
        row("records per second", lambda it: human(it["found"])),
        row("to Kafka, before compression", lambda it: size(it["records"]) + "/s"),
        row("Kafka's disks, with copies", lambda it: size(it["records"] * V["F"]) + "/s"),
        row("partitions", lambda it: str(it["partitions"])),
        row("spools in all, after the outage", lambda it: size(it["spool"] * it["N"])),
        row("network in, all pods", lambda it: f"{it['into'] * 8 / 1e9:.2g} Gbit/s"),
        row("network out, all pods", lambda it: f"{it['out'] * 8 / 1e9:.2g} Gbit/s"),
    ])
    yield "### Keys to raise, in each pod\n"
    yield table(["key", *rates], [
        row("`shadow.max_in_flight`", lambda it: raised(V["b"] * it["mirrored"], 256)),
        row("`pool.reference.max_idle`", lambda it: raised(V["b"] * it["live"], 1024)),
        row("`pool.candidate.max_idle`", lambda it: raised(V["b"] * it["candidate"], 1024)),
        row("`capture.max_total`", lambda it: raised(it["captured"], 256, "MiB")),
        row("`delivery.queue_bytes`", lambda it: raised(it["queue"], 64, "MiB")),
        row("`delivery.queue_records`", lambda it: raised(it["queue"] / V["r"] / 1e3, 100000)),
        row("`spool.max_bytes`", lambda it: raised(it["spool"] * 1.25, 1, "GiB")),
    ])
    yield f"### What the shares do, at {rates[-1]}\n"
    yield table(["mirrored, of these different", "cores to have", "pods", "to Kafka", "partitions", "spool of a pod"], [
        [f"{m:.0%}, {d:.1%}", human(it["cores"]), str(it["N"]), size(it["records"]) + "/s", str(it["partitions"]),
         size(it["spool"])]
        for m, d in ((0.01, 0.01), (0.1, 0.01), (1, 0.001), (1, 0.01), (1, 0.1), (1, 1))
        for it in [plan(RATES[-1], m, d)]
    ])


def main():
    text = "\n".join(pages())
    if not sys.argv[1:]:
        return print(text, end="")
    page = PAGE.read_text()
    wanted = page.split(BEGIN)[0] + BEGIN + "\n" + text + "\n" + END + page.split(END)[1]
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(wanted)
    elif sys.argv[1:] != ["--check"]:
        sys.exit(__doc__)
    elif wanted != page:
        sys.exit(f"capacity.py: {PAGE} has other tables; bench/capacity.py --write")


main()
