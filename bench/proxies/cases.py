"""What is measured."""

from dataclasses import dataclass, field

# As the contender of a ratio's base: the same one, and the same build with a single route.
OWN, ONE_ROUTE = "own", "one route"


@dataclass
class Step:
    """Rows of a table that differ in the contender only."""

    name: str
    path: str
    connections: int = 32
    protocol: str = "h1"  # or "h2"
    outcome: str | None = None  # the outcome that miffy has to count for every request
    endless: bool = False  # whether shadow work lasts longer than anybody waits
    half_of: str | None = None  # at a fixed rate: half of what nginx manages with this path

    @property
    def mirrored(self) -> bool:
        return self.path.startswith("/mirror/")


@dataclass
class Ratio:
    """A column: a metric beside that of another row, of the same step unless one is named."""

    title: str
    metric: str
    contender: str = "nginx"
    step: str | None = None
    steps: tuple[str, ...] | None = None  # those that it is said of; all when left out


@dataclass
class Case:
    name: str
    title: str
    steps: list[Step]
    ratios: list[Ratio]
    routes: list[int] = field(default_factory=lambda: [1])  # other than that, it is about miffy alone
    all_compared: bool = False  # whether miffy takes part once more, and skips nothing however much is in flight


PASS, EQUAL, DIFFERENT = "pass-through", "mirrored, equal", "mirrored, different"
# Mirroring has a rate of its own, since it asks two services, on the same cores.
SLOWLY = "pass-through at the rate of mirroring"
AT_MIRRORED_RATE = (SLOWLY, EQUAL, DIFFERENT)


def three(size: str = "0.5KB", connections: int = 32, protocol: str = "h1", suffix: str = "") -> list[Step]:
    return [
        Step(PASS + suffix, f"/pass/{size}", connections, protocol),
        Step(EQUAL + suffix, f"/mirror/equal/{size}", connections, protocol, "equal"),
        Step(DIFFERENT + suffix, f"/mirror/different/{size}", connections, protocol, "different"),
    ]


SAME_STEP = [
    Ratio("CPU ÷ nginx", "cpu"), Ratio("requests/s ÷ nginx", "rate"), Ratio("p50 ÷ nginx", "p50"), Ratio("p99 ÷ nginx", "p99"),
]

CASES = [
    Case("main", "0.5 KB, 32 connections", three(), SAME_STEP, all_compared=True),
    Case(
        "sizes", "Body sizes, 32 connections",
        [step for size in ("0.5KB", "16KB", "1MB") for step in three(size, suffix=f", {size[:-2]} {size[-2:]}")],
        SAME_STEP,
    ),
    Case(
        "connections", "Connections, 0.5 KB",
        [step for count in (1, 32, 512) for step in three(connections=count, suffix=f", {count}")],
        SAME_STEP,
    ),
    Case("h2c", "HTTP/2 without TLS: 8 connections of 4 streams, 0.5 KB", three(connections=8, protocol="h2"), SAME_STEP),
    Case(
        "slow", "Candidate ten times slower (1 ms, 10 ms), 32 connections",
        [Step(PASS, "/pass/slow"), Step("mirrored, slow candidate", "/mirror/slow/0.5KB", outcome="equal")],
        [
            Ratio("requests/s ÷ own pass-through", "rate", OWN, PASS), Ratio("p99 ÷ own pass-through", "p99", OWN, PASS),
            Ratio("CPU ÷ nginx", "cpu"),
        ],
    ),
    Case(
        "hang", "Candidate hanging, 32 connections",
        [Step(PASS, "/pass/0.5KB"), Step("mirrored, candidate hangs", "/mirror/hang/0.5KB", endless=True)],
        [
            Ratio("requests/s ÷ own pass-through", "rate", OWN, PASS), Ratio("p50 ÷ own pass-through", "p50", OWN, PASS),
            Ratio("p99 ÷ own pass-through", "p99", OWN, PASS),
        ],
    ),
    Case(
        "rate", "Latency at half of what nginx manages, 32 connections",
        [
            Step(PASS, "/pass/0.5KB", half_of="/pass/0.5KB"),
            Step(SLOWLY, "/pass/0.5KB", half_of="/mirror/equal/0.5KB"),
            Step(EQUAL, "/mirror/equal/0.5KB", outcome="equal", half_of="/mirror/equal/0.5KB"),
            Step(DIFFERENT, "/mirror/different/0.5KB", outcome="different", half_of="/mirror/equal/0.5KB"),
        ],
        [
            Ratio("CPU ÷ nginx", "cpu"), Ratio("p50 ÷ nginx", "p50"), Ratio("p99 ÷ nginx", "p99"),
            Ratio("p50 ÷ nginx pass-through at this rate", "p50", step=SLOWLY, steps=AT_MIRRORED_RATE),
            Ratio("p99 ÷ nginx pass-through at this rate", "p99", step=SLOWLY, steps=AT_MIRRORED_RATE),
        ],
    ),
    Case("idle", "Idle keep-alive clients", [], []),
    Case(
        "routes", "Number of routes, 32 connections",
        [Step(PASS, "/pass/0.5KB"), Step(EQUAL, "/mirror/equal/0.5KB", outcome="equal")],
        [
            Ratio("CPU ÷ 1 route", "cpu", ONE_ROUTE), Ratio("requests/s ÷ 1 route", "rate", ONE_ROUTE),
            Ratio("p99 ÷ 1 route", "p99", ONE_ROUTE),
        ],
        routes=[1, 100, 10_000],
    ),
]
