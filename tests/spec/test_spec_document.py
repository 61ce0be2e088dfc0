from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelops.errors import Exit, ModelOpsError
from modelops.spec.yaml import quick
from modelops.spec.yaml.document import SIZE_LIMIT, parse
from modelops.spec.yaml.dump import block

PATH = "models/a/model.yaml"


def problems(data: bytes) -> list[tuple[str, int, int]]:
    with pytest.raises(ModelOpsError) as caught:
        parse(data, PATH)
    assert caught.value.exit is Exit.FILES
    return [
        (problem.code, problem.location.line, problem.location.column)
        for problem in caught.value.problems
        if problem.location
    ]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("true", True),
        ("false", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("0", 0),
        ("-12", -12),
        ("+3", 3),
        ("1.10", 1.1),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("n", "n"),
        ("True", "True"),
        ("NULL", "NULL"),
        ("010", "010"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("12:30:45", "12:30:45"),
        ("2026-03-01", "2026-03-01"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("'true'", "true"),
        ('"1"', "1"),
        ("[1, a, [b]]", (1, "a", ("b",))),
        ("<<", "<<"),
    ],
)
def test_scalars_mean_what_json_and_yaml_agree_on(written: str, meant: object) -> None:
    """Only true and false are booleans, numbers are decimal, dates and yes/no are texts."""
    value = parse(f"key: {written}\n".encode(), PATH).value["key"]
    assert value == meant
    assert type(value) is type(meant)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a: 1\nb: 2\na: 3\n", [("duplicate-key", 3, 1)]),
        (b"a: {x: 1, x: 2}\nb:\n  y: 1\n  y: 1\n", [("duplicate-key", 1, 11), ("duplicate-key", 4, 3)]),
        (b"a: !!python/object:os.system x\n", [("yaml-tag", 1, 4)]),
        (b"a: !!str 3\nb: ! x\n", [("yaml-tag", 1, 4), ("yaml-tag", 2, 4)]),
        (b"a: 1\n---\nb: 2\n", [("multiple-documents", 2, 1)]),
        (b"", [("empty-file", 1, 1)]),
        (b"# nothing\n", [("empty-file", 1, 1)]),
        (b"- a\n", [("not-a-mapping", 1, 1)]),
        (b"a: [1, 2\n", [("yaml-syntax", 2, 1)]),
        (b"a:\n\t- b\n", [("yaml-syntax", 2, 1)]),
        (b"a: b: c\n", [("yaml-syntax", 1, 5)]),
        (b"a: *nobody\n", [("yaml-syntax", 1, 4)]),
        (b"? [a]\n: b\n", [("bad-key", 1, 3)]),
        (b"a: 123456789012345678901234567890\n", [("bad-number", 1, 4)]),
        (b"a: 1e999\n", [("bad-number", 1, 4)]),
        (b"a: caf\xe9\n", [("invalid-utf8", 1, 7)]),
        (b"a: 1\nb: \x00\n", [("binary-file", 2, 4)]),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00", [("binary-file", 1, 1)]),
        (b"a: \x1b[31m\n", [("control-character", 1, 4)]),
        (b"a: " + b"[" * 40 + b"]" * 40, [("too-deep", 1, 34)]),
        (b"a: &x [*x]\n", [("too-deep", 1, 4)]),
    ],
)
def test_bad_yaml_is_refused_with_its_place(data: bytes, expected: list[tuple[str, int, int]]) -> None:
    """Every mistake of a file is reported with its code, line and column, all of one walk together."""
    assert problems(data) == expected


def test_a_bomb_of_aliases_is_refused_quickly() -> None:
    """Nine levels of nine aliases stop after a few expansions."""
    lines = [b"a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [b"a%d: &a%d [%s]" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 10)]
    start = time.process_time()
    assert [code for code, _, _ in problems(b"\n".join(lines))] == ["too-many-aliases"]
    assert time.process_time() - start < 5


def test_a_few_aliases_are_read() -> None:
    """An anchor that is used twice gives its value twice."""
    assert parse(b"a: &x {y: 1}\nb: *x\nc: *x\n", PATH).value["c"] == {"y": 1}


def test_a_large_file_is_refused_by_its_size() -> None:
    """The limit is asked before anything is parsed."""
    assert problems(b"a: " + b"x" * SIZE_LIMIT)[0][0] == "file-too-large"


def test_marks_lead_to_values_and_keys() -> None:
    """A document knows the place of each value and of each key."""
    document = parse("a:\n  - é: 1\n    b: two\n".encode(), PATH)
    assert str(document.marks["a[0].b"]) == f"{PATH}:3:8"
    assert str(document.keys["a[0].b"]) == f"{PATH}:3:5"


def test_a_byte_order_mark_is_passed_over() -> None:
    """Editors that write a byte order mark do no harm."""
    assert parse(b"\xef\xbb\xbfa: 1\n", PATH).value == {"a": 1}


# --- the quick reader


def full(data: bytes) -> object:
    try:
        return parse(data, PATH).value
    except ModelOpsError:
        return "refused"


TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["yes", "null", "a: b", "a #b", "- a", "{x}", "1e5", "0.5", "x:", "'q'", '"', "a, b", "multi\nline\n"]
    ),
)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**18), 10**18), st.floats(allow_nan=False, allow_infinity=False), TEXTS
)
KEYS = st.one_of(st.text("abcXYZ_019 -./()", min_size=1, max_size=8), st.text(min_size=1, max_size=4))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4).map(tuple), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(KEYS, VALUES, min_size=1, max_size=5)


def same(one: object, other: object) -> bool:
    """Compare with types: 1, 1.0 and True are three values."""
    return repr(one) == repr(other)


@given(DOCUMENTS)
def test_dumped_values_are_read_back_by_both_readers(value: dict[str, object]) -> None:
    """What is dumped is read as it was, and the quick reader never disagrees."""
    data = ("\n".join(block(value)) + "\n").encode()
    assert same(full(data), value)
    assert quick.read(data) is None or same(quick.read(data), value)


LINES = st.sampled_from(
    [
        "a: 1",
        "b:",
        "  c: x",
        "  - d",
        "- e",
        "  - f: 1",
        '    g: [1, a b, "q, r"]',
        "  - {h: 1, i: [x, 2.50]}",
        "j: {k: v, l: 2026-01-01T00:00:00Z}",
        "  # comment",
        "",
        "  ",
        "m: >-",
        "n: |",
        "    text here",
        "    more: text",
        "o: plain # comment",
        "p: 'single'",
        'q: "double"',
        "r: &x 1",
        "s: *x",
        "t: !!int 3",
        "---",
        "u: -",
        "v: - w",
        "x:  spaced  ",
        "a b: c",
        '"y z": 0',
        "c: [a: 1]",
        "d: [a,b]",
        "e: {a:1}",
        "f: {a: 1,}",
        "g: [-1, - 1]",
        "h: ~",
        "i: 'it''s'",
        "  continued text",
        "k: [a #b, c]",
        "l: {a: 1, a: 2}",
        "o: 1.",
        "p: [.5, +1, 01]",
        "? q",
        "r: a:b",
        "s: http://x/y#z",
        "t: [a-b, c?d, (e)]",
        "-",
        "- ",
        "u:v",
        "w: ...",
        "...",
    ]
)


@given(st.lists(LINES, min_size=1, max_size=8), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_the_quick_reader_agrees_or_leaves_it(lines: list[str], newline: str, last: bool) -> None:
    """On any mixture of lines the quick reader gives the full reader's value or none."""
    data = (newline.join(lines) + (newline if last else "")).encode()
    value = quick.read(data)
    assert value is None or same(value, full(data))


@given(DOCUMENTS, st.data())
def test_one_changed_character_never_divides_the_readers(value: dict[str, object], data: st.DataObject) -> None:
    """After a typo the quick reader still agrees with the full one, or leaves the file to it."""
    text = "\n".join(block(value)) + "\n"
    at = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.sampled_from(list(" \n\t:-#'\"[]{},&*!|>%@?x0.~\r\x85\ufeff")))
    changed = (text[:at] + letter + text[at + data.draw(st.integers(0, 1)) :]).encode()
    found = quick.read(changed)
    assert found is None or same(found, full(changed))
