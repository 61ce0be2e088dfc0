"""A seat: one model in one environment, with everything that ever changed there, the newest first."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from modelops.audit import PromotionAnswer
from modelops.audit.records import Records
from modelops.clock import parse_instant
from modelops.dashboard.look import Look, asked
from modelops.dashboard.rooms import Room
from modelops.dashboard.rooms.model import rollouts
from modelops.dashboard.standing import kept_at, last_window, standing_of
from modelops.spec.layout import Seat
from modelops.views.reports.incidents import told_of

__all__ = ["Turn", "pull_in", "seat", "timeline"]

_PULL = re.compile(r"pull request #(\d{1,9})|\(#(\d{1,9})\)$")
_TURNS = 200


@dataclass(frozen=True, slots=True)
class Turn:
    """What one commit changed: ``before`` and ``after`` are the releases by arm; the promotion that is its record."""

    commit: str
    time: datetime
    subject: str
    before: Mapping[str, int]
    after: Mapping[str, int]
    promotion: PromotionAnswer | None = None
    pull: int | None = None

    @property
    def changes(self) -> list[tuple[str, int | None, int | None]]:
        """Every arm that is another one since."""
        arms = dict.fromkeys([*self.after, *self.before])
        return [
            (arm, self.before.get(arm), self.after.get(arm))
            for arm in arms
            if self.before.get(arm) != self.after.get(arm)
        ]


def pull_in(subject: str) -> int | None:
    """Return the pull request that a merge's subject names, as forges write it."""
    found = _PULL.search(subject)
    return int(found[1] or found[2]) if found is not None else None


def timeline(look: Look, seat: Seat) -> list[Turn]:
    """Return everything that changed which releases a seat has, the newest first, with the record of each."""
    workspace = look.workspace
    records = Records(workspace.repository, look.tip, asked(workspace))
    promotions = [one for one in records.promotions(seat.model) if one.environment == seat.environment]
    files = look.graph.models[seat.model].promotions
    made = {one.name: str(files[one.name].spec.commit) for one in promotions if one.name in files}
    moments = look.moments.get(seat, ())
    turns = []
    for at, (version, arms) in enumerate(moments[:_TURNS]):
        before = moments[at + 1][1] if at + 1 < len(moments) else {}
        if arms == before:
            continue
        new = {release for arm, release in arms.items() if before.get(arm) != release} or {*before.values()}
        record = _record(promotions, made, version.commit, version.parent, new)
        pull = record.pull_request.number if record is not None and record.pull_request else pull_in(version.subject)
        turns.append(Turn(version.commit, version.time, version.subject, before, arms, record, pull))
    return turns


def _record(
    promotions: Sequence[PromotionAnswer],
    made: Mapping[str, str],
    commit: str,
    parent: str | None,
    new: Collection[int],
) -> PromotionAnswer | None:
    """Return the record of the change that a commit made, or that of the trial which it ended well."""
    direct = [one for one in promotions if made.get(one.name) == commit]
    with_it = [one for one in promotions if one.path != "pull-request" and made.get(one.name) == parent]
    ended = [one for one in promotions if one.release in new and one.outcomes]
    return next(iter([*direct, *with_it, *reversed(ended)]), None)


def seat(look: Look, name: str, environment: str, here: str) -> Room | None:
    """Return the page of a model in an environment."""
    entry = look.graph.models.get(name)
    if entry is None or environment not in entry.deployments or look.environment(environment) is None:
        return None
    place = Seat(name, environment)
    standing = standing_of(look, place)
    turns = timeline(look, place)
    denied = entry.deployments[environment].spec.denied
    return Room(
        "seat.html",
        f"{name} in {environment}",
        {
            "standing": standing,
            "turns": turns,
            "rollouts": rollouts(look, [standing]),
            "environment": look.environment(environment),
            "denied": denied,
            "windows": last_window(look, place)[-24:],
            "triage": told_of(kept_at(look, place)),
            "instant": parse_instant,
        },
    )
