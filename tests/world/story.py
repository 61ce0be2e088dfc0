"""The life of one model as a chain of states, each made from the one before it by the command line alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from world.shop import MODEL, STRICT, Shop, VerbFailed, begin, customers

Step = Callable[[Shop], None]
LAST_BUT_FEW = 12
"""So many passes are enough for a rollout of this story to end."""


def opened(shop: Shop) -> None:
    shop.ok("pr", "create", "--title", "Propose churn")


def built(shop: Shop) -> None:
    shop.build(1)


def approved(shop: Shop) -> None:
    shop.approve(1)


def merged(shop: Shop) -> None:
    shop.ok("pr", "merge", "1")
    shop.home()


def released(shop: Shop) -> None:
    shop.release()


def staged(shop: Shop) -> None:
    shop.reconcile("staging")


def asked(shop: Shop) -> None:
    shop.approve(shop.promote())


def promoted(shop: Shop) -> None:
    shop.ok("pr", "merge", str(shop.newest_pull()))
    shop.home()


def live(shop: Shop) -> None:
    shop.reconcile()


def watched(shop: Shop) -> None:
    """Calm traffic with labels, then customers who pay far more."""
    shop.at("2026-03-10T12:00:00Z")
    shop.ask(customers(60, 2), labels=True)
    shop.at("2026-04-20T12:00:00Z")
    shop.ask(customers(300, 3, fee=75.0), labels=True)
    shop.at("2026-04-20T18:00:00Z")


def drifted(shop: Shop) -> None:
    shop.ok("monitor", "production", "--yes", codes=(1,))
    shop.git("fetch", "-q")


def renewed(shop: Shop) -> None:
    """The retraining pull request is merged, its release is stable in staging and wanted in production."""
    number = shop.newest_pull()
    found = shop.ok("pr", "view", str(number), "-o", "json").out
    source = found.partition('"source": "')[2].partition('"')[0]
    shop.git("checkout", "-q", source)
    shop.build(number)
    shop.accept(number)
    shop.release()
    shop.reconcile("staging")
    shop.accept(shop.promote())


def trying(shop: Shop) -> None:
    shop.at("2026-04-21T12:00:00Z")
    shop.reconcile()


def second(shop: Shop) -> None:
    """Release 2 wins its rollout."""
    for number in range(LAST_BUT_FEW):
        if "stable: 2" in shop.deployment():
            return
        shop.ask(customers(120, 10 + number, fee=75.0))
        shop.reconcile()
    raise VerbFailed("release 2 did not become stable")


def third(shop: Shop) -> None:
    """Release 3, which fails on strange customers, is wanted in production."""
    shop.at("2026-05-05T12:00:00Z")
    shop.change("strict", STRICT, path=f"models/{MODEL}/train.py")
    shop.accept(shop.promote())


def trial(shop: Shop) -> None:
    """Stable is 2, candidate is 3; 1 was stable before."""
    shop.reconcile()


def paused(shop: Shop) -> None:
    shop.ok("rollout", "pause", MODEL, "production", "--reason", "the call centre moves", "--yes")
    shop.home()


def resumed(shop: Shop) -> None:
    shop.ok("rollout", "resume", MODEL, "production", "--reason", "the centre has moved", "--yes")
    shop.home()


def denied(shop: Shop) -> None:
    """Release 3 fails its rollout."""
    for number in range(LAST_BUT_FEW):
        if "release: 3" in shop.deployment():
            return
        shop.ask(customers(120, 30 + number, fee=75.0), strange=True)
        shop.reconcile(codes=(0, 1))
    raise VerbFailed("release 3 was not denied")


STEPS: tuple[Step, ...] = (
    opened, built, approved, merged, released, staged, asked, promoted, live, watched, drifted, renewed, trying, second,
    third, trial, paused, resumed, denied,
)  # fmt: skip
FIRST = "proposed"
STATES = (FIRST, *(step.__name__ for step in STEPS))
NEEDS_SERVER = {"watched", "second", "denied"}
"""Steps that send traffic, to a server that a copied state does not have."""


def proposed(folder: Path, *program: str) -> Shop:
    """Begin the story: the model is committed on a branch, without a pull request."""
    shop = begin(folder, program) if program else begin(folder)
    shop.git("checkout", "-q", "-b", "propose-churn")
    shop.git("add", "--all")
    shop.git("commit", "-q", "-m", "Propose churn")
    return shop


def advance(shop: Shop, state: str) -> None:
    """Take the one step that ends in a state."""
    step = STEPS[STATES.index(state) - 1]
    if state in NEEDS_SERVER:
        shop.reconcile()
    step(shop)
