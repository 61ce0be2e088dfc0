"""Who pressed the button of a job: a person acts there under the workflow's name, with a hand in what it makes."""

from __future__ import annotations

import re
from collections.abc import Mapping

from modelops.errors import Exit, failure
from modelops.forges.github.settings import noreply
from modelops.repository.history import Person

__all__ = ["ACTOR", "AGAIN", "IDENTIFIER", "pressed_by", "with_presser"]

ACTOR, IDENTIFIER, AGAIN = "MODELOPS_ACTOR", "MODELOPS_ACTOR_ID", "MODELOPS_TRIGGERING_ACTOR"
_LOGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,98}(\[bot\])?")
_NUMBER = re.compile(r"[1-9][0-9]{0,18}")


def pressed_by(environ: Mapping[str, str]) -> Person | None:
    """Return who started this job, under the address that GitHub gives the account; None where no job says it.

    A run that somebody else started again is refused: GitHub tells a job of that person's name, not of the account.
    """
    login, number, again = (environ.get(name, "") for name in (ACTOR, IDENTIFIER, AGAIN))
    if not (login or number or again):
        return None
    if not _LOGIN.fullmatch(login) or not _NUMBER.fullmatch(number):
        raise failure(
            "presser-unknown",
            f"who started this is not known: {ACTOR} is {login[:100]!r} and {IDENTIFIER} {number[:100]!r}",
            exit=Exit.USAGE,
            hint=f"in a workflow, {ACTOR}: ${{{{ github.actor }}}} and {IDENTIFIER}: ${{{{ github.actor_id }}}}",
        )
    if again.lower() != login.lower():
        raise failure(
            "presser-unknown",
            f"{login} started this, and {again[:100]!r} has started it again",
            exit=Exit.NO,
            hint="start the workflow anew: whoever does has a hand in what it proposes",
        )
    return Person(login, f"{number}+{login}@{noreply(environ)}")


def with_presser(message: str, presser: Person | None) -> str:
    """Return the message of a commit that names who pressed the button as an author of it, too."""
    return message if presser is None else f"{message}\n\nCo-authored-by: {presser.name} <{presser.email}>\n"
