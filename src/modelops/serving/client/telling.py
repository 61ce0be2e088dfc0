"""Labels told to a running server: in batches, again when it is busy, and counted by what it said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Self
from urllib.parse import quote

from modelops.serving.client.connection import Server
from modelops.serving.client.labels import Label

__all__ = ["Report", "Teller", "tell"]

_BATCH = 500


@dataclass
class Report:
    """What became of the labels; ``problems`` are those that were not taken."""

    counts: Counter[str] = field(default_factory=Counter)
    problems: list[dict[str, Any]] = field(default_factory=list)

    def take(self, batch: Sequence[Label], items: Sequence[Any]) -> None:
        """Count a batch by what the server said about each item."""
        for label, item in zip(batch, items, strict=True):
            self.counts["labels"] += 1
            if item["accepted"]:
                self.counts["accepted"] += 1
                self.counts["replaced"] += bool(item.get("replaced"))
                continue
            self.counts["unknown" if item.get("code") == "unknown-prediction" else "refused"] += 1
            self.problems.append(
                {"line": label.line, "id": label.id, "code": item.get("code"), "error": item.get("error")}
            )


def tell(teller: Teller, model: str | None, labels: Sequence[Label], told: Callable[[int], None]) -> Report:
    """Send all labels of a model, by default of the only one that is served, and count what became of them."""
    name, report = model or teller.only_model(), Report()
    for batch in _batches(labels):
        report.take(batch, teller.send(name, batch))
        told(len(batch))
    return report


def _batches(labels: Iterable[Label]) -> Iterator[list[Label]]:
    rows = iter(labels)
    while batch := list(islice(rows, _BATCH)):
        yield batch


class Teller:
    """A server that is told labels."""

    def __init__(self, url: str, key: str | None = None) -> None:
        hint = "send the file again: labels that were taken do not change"
        self._server = Server(url, key, code="feedback-not-taken", hint=hint)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.__exit__()

    def only_model(self) -> str:
        """Return the name of the one model that is served."""
        return self._server.only_model()

    def send(self, model: str, batch: Sequence[Label]) -> list[Any]:
        """Send labels and return what the server says about each of them."""
        body = [{"id": label.id, "label": label.label} for label in batch]
        answer: dict[str, list[Any]] = self._server.ask(f"/v2/models/{quote(model)}/feedback", body)
        return answer["items"]
