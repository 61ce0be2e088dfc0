"""The block of a pull request's body: what machines read, and nothing in the text for people can pretend to be."""

from __future__ import annotations

import string
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelops.forges import Account, PullRequest, read_block, without_block, write_block
from modelops.governance.asks import ConclusionAsk, PromotionAsk, RetrainingAsk, ask_in, with_ask

FACTS = st.dictionaries(
    st.text(max_size=8),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=12), lambda inner: st.lists(inner, max_size=3)
    ),
    max_size=4,
)
TEXTS = st.text(max_size=60) | st.sampled_from(
    ['<!-- modelops: {"a":1} -->', "<!--modelops:", "-->", "<!-- ", '\n\n<!-- modelops: {"kind":"x"} -->\n', "{}"]
)


@given(body=st.lists(TEXTS, max_size=4).map("".join), facts=FACTS)
def test_what_was_written_is_read_whatever_the_text_holds(body: str, facts: dict[str, Any]) -> None:
    """Facts come back as they were; text that looks like a block, before or inside, changes nothing."""
    written = write_block(body, facts)
    assert read_block(written) == facts
    assert read_block(written.replace("\n", "\r\n")) == facts
    assert written.count("<!--") == 1
    assert without_block(written) == body.replace("<!--", "&lt;!--").rstrip()


@given(st.lists(TEXTS | st.text(alphabet=string.printable), max_size=4).map("".join))
def test_any_text_is_read_without_a_crash(body: str) -> None:
    """A body is anybody's text: it has a block in the one spelling, or none."""
    facts = read_block(body)
    assert facts is None or body.rstrip().endswith(write_block("", facts).strip())
    assert isinstance(without_block(body), str)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "text",
        '<!-- modelops: {"a": 1} -->',
        '<!-- modelops: {"b":1,"a":2} -->',
        '<!-- modelops: {"a":1,"a":2} -->',
        '<!-- modelops: {"a":1} --> and more',
        '<!-- modelops: {"a":1} -->\n<!-- modelops: {"a":1} -->',
        "<!-- MODELOPS: {} -->\n<!-- modelops: {} -->",
        "<!-- modelops: [1] -->",
        "<!-- modelops: " + "[" * 5000 + "] -->",
        '<!-- modelops: {"a":"' + "x" * 20000 + '"} -->',
    ],
)
def test_what_is_not_the_one_spelling_is_no_block(body: str) -> None:
    """Edited by hand, doubled, cut or huge: it says nothing."""
    assert read_block(body) is None
    assert without_block(body) == body


def pull(body: str) -> PullRequest:
    ada = Account("ada", "ada")
    return PullRequest(1, "T", body, ada, "s", "main", "a" * 40, "b" * 40, "open", "2026-03-01T12:00:00Z")


@pytest.mark.parametrize(
    "ask",
    [
        PromotionAsk(model="team/churn", environment="production", release=3, role="candidate"),
        ConclusionAsk(model="churn", environment="production", release=3, salt="0f" * 8),
        RetrainingAsk(model="churn", environment="prod", snapshot="prod-0", root="sha256:" + "0" * 64),
    ],
)
def test_what_is_asked_comes_back_as_it_was(ask: PromotionAsk | ConclusionAsk | RetrainingAsk) -> None:
    """Each kind of ask survives a body, and nothing else is taken for one."""
    body = with_ask("Why", ask)
    assert ask_in(pull(body)) == ask
    assert ask_in(replace(pull(body), body=body + "P.S.")) is None
    facts = read_block(body)
    assert facts is not None
    for wrong in ({**facts, "kind": "other"}, {**facts, "more": 1}, {**facts, "model": "../x"}, {}):
        assert ask_in(pull(write_block("", wrong))) is None
