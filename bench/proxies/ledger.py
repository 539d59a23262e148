"""What miffy says of the requests of a row: dropped shadow work would make its figures a lie."""

import re
import time
from collections import Counter
from dataclasses import dataclass

from contenders import Contender

LINE = re.compile(r"^(miffy_\w+?)(?:\{(.*)\})? ([0-9.e+]+)$")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass
class Ledger:
    """Counters, and what waits to be delivered."""

    outcomes: Counter[str]
    published: int
    dropped: int
    shortened: int
    waiting: int

    def since(self, before: "Ledger") -> "Ledger":
        return Ledger(
            self.outcomes - before.outcomes, self.published - before.published, self.dropped - before.dropped,
            self.shortened - before.shortened, self.waiting,
        )

    def is_settled(self, requests: int) -> bool:
        return self.outcomes.total() >= requests and self.waiting == 0

    def notes(self, expected: str | None, under_way: int) -> dict[str, float]:
        """What has to be said beside a row, in percent. `expected` is the outcome that all should have."""
        total = self.outcomes.total()
        notes = {}
        for outcome, count in self.outcomes.most_common():
            # Clients that leave at the end of a row are no more than were waiting.
            left = outcome == "skipped{client_gone}" and count <= under_way
            if outcome != expected and not left:
                notes[outcome] = 100 * count / total
        if self.shortened:
            notes["records shortened"] = 100 * self.shortened / max(1, self.published)
        return notes

    def errors(self, expected: str | None, requests: int, under_way: int) -> list[str]:
        """What is not accounted for."""
        total = self.outcomes.total()
        errors = []
        if not requests <= total <= requests + under_way:
            errors.append(f"{total} outcomes of {requests} requests")
        if self.dropped:
            errors.append(f"{self.dropped} records dropped")
        if expected == "different" and self.published != self.outcomes["different"]:
            errors.append(f"{self.published} published of {self.outcomes['different']}")
        return errors


def read(contender: Contender) -> Ledger:
    ledger = Ledger(Counter(), 0, 0, 0, 0)
    for line in contender.metrics().splitlines():
        found = LINE.match(line)
        if found is None:
            continue
        name, labels, value = found[1], dict(LABEL.findall(found[2] or "")), int(float(found[3]))
        match name:
            case "miffy_outcomes_total" if value:
                reason = labels.get("reason")
                ledger.outcomes[labels["outcome"] + (f"{{{reason}}}" if reason else "")] += value
            case "miffy_records_published_total":
                ledger.published += value
            case "miffy_records_dropped_total":
                ledger.dropped += value
            case "miffy_records_shortened_total":
                ledger.shortened += value
            case "miffy_delivery_waiting_records" | "miffy_spool_records" | "miffy_shadow_in_flight":
                ledger.waiting += value
    return ledger


def await_settled(contender: Contender, before: Ledger, requests: int, seconds: float = 60) -> Ledger:
    """The ledger once each request has its outcome and each record is where it should be, or time is up."""
    deadline = time.monotonic() + seconds
    while True:
        now = read(contender).since(before)
        if now.is_settled(requests) or time.monotonic() > deadline:
            return now
        time.sleep(0.2)
