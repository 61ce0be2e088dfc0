"""The trust policy: what is in force, how it came to be, and what does not count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from modelops.clock import format_instant
from modelops.governance.endorsing import Endorsed
from modelops.markup import plain
from modelops.project.trust import TrustChain, TrustStep
from modelops.spec.kinds.trust_policy import TrustedKey
from modelops.views.terminal import colored, table

_HOW = {
    "root": "the root: everything else rests on it",
    "signed": "signed by {}",
    "approved": "by approval alone: the version before asked for no signature",
    "accepted": "a new root, accepted by name on this machine",
}


def text(chain: TrustChain) -> str:
    """Return every version that came into force, the keys of the last, and what is wrong."""
    asked = chain.policy.threshold
    changes = f"a change needs {asked} of its keys" if asked else "a change needs approvals, and no signature"
    parts = [
        "\n".join(_step(chain, number, step) for number, step in enumerate(chain.steps, start=1)),
        table(("KEY", "SIGNS", "FROM", "UNTIL", "REVOKED"), [_key(key) for key in chain.policy.keys]),
        f"in force: version {len(chain.steps)}; {changes}",
    ]
    wrong = [f"{colored('NOT IN FORCE', 'red', bold=True)} {plain(problem)}" for problem in chain.problems]
    told = (contradiction_text(one.commit, format_instant(one.date), one.others) for one in chain.dates.contradictions)
    wrong += [f"{colored('CONTRADICTION', 'red', bold=True)} {one}" for one in told]
    return "\n\n".join([*parts, *(["\n".join(wrong)] if wrong else [])])


def _step(chain: TrustChain, number: int, step: TrustStep) -> str:
    how = _HOW[step.how].format(", ".join(step.signed_by))
    return plain(f"version {number}: commit {step.commit[:12]}, {format_instant(chain.dates.of(step.place))}, {how}")


def _key(key: TrustedKey) -> tuple[str, ...]:
    revoked = f"{key.revoked.at}: {key.revoked.reason}" if key.revoked else "-"
    return (key.name, ", ".join(key.signs), key.valid_from or "-", key.valid_until or "-", plain(revoked))


def contradiction_text(commit: str, date: str, others: Sequence[str]) -> str:
    """Return that a date cannot be true beside those of commits that build on it, or beside today's."""
    said = f"{commit[:12]} is dated {date}"
    if not others:
        return f"{said}, which is in the future"
    many = f"{len(others)} commits that build on it are" if len(others) > 1 else "1 commit that builds on it is"
    return f"{said}, and {many} dated before it, the first {others[0][:12]}"


def data(chain: TrustChain) -> dict[str, Any]:
    """Return the same as plain values."""
    return {
        "root": chain.steps[0].commit,
        "threshold": chain.policy.threshold,
        "versions": [
            {"commit": one.commit, "digest": one.digest, "how": one.how, "signedBy": list(one.signed_by)}
            for one in chain.steps
        ],
        "keys": [key.model_dump(by_alias=True, exclude_none=True) for key in chain.policy.keys],
        "problems": [{"code": each.code, "message": each.message} for each in chain.problems],
        "contradictions": [
            {"commit": one.commit, "date": format_instant(one.date), "others": list(one.others)}
            for one in chain.dates.contradictions
        ],
        "ok": not chain.problems and not chain.dates.contradictions,
    }


def endorsed_text(found: Endorsed) -> str:
    """Return who has signed a change by now, and how many are missing."""
    said = f"{found.key} signed" if found.commit else f"{found.key} had signed already"
    left = f"{found.missing} more must sign" if found.missing else "nothing is missing but approvals"
    who = ", ".join(found.change.signed_by)
    return plain(f"{said} the trust policy of {found.branch}; signed by {who}; {left}")


def endorsed_data(found: Endorsed) -> dict[str, Any]:
    """Return the same as plain values."""
    return {
        "branch": found.branch,
        "commit": found.commit,
        "key": found.key,
        "digest": found.change.digest,
        "signedBy": list(found.change.signed_by),
        "needed": found.change.needed,
    }
