from __future__ import annotations

import difflib

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from modelops.errors import ModelOpsError
from modelops.spec.kinds import KINDS
from modelops.spec.load import load_resource
from modelops.spec.yaml.document import parse
from modelops.spec.yaml.dump import block, dump, scalar, schema_comment
from modelops.spec.yaml.edit import append, remove, set_value

DEPLOYMENT = b"""\
# Who takes the traffic.
apiVersion: modelops/v1
kind: Deployment
metadata: {name: production}   # the file's name
spec:
  stable: 3   # since May

  # What failed here before:
  denied:
    - release: 2
      reason: "too slow"  # p99

# the end
"""


def diff(old: bytes, new: bytes) -> list[str]:
    lines = difflib.ndiff(old.decode().splitlines(keepends=True), new.decode().splitlines(keepends=True))
    return [line.rstrip("\n") for line in lines if line[0] in "+-"]


@pytest.mark.parametrize(
    ("dotted", "value", "expected"),
    [
        ("spec.stable", 4, ["-   stable: 3   # since May", "+   stable: 4   # since May"]),
        ("spec.candidate", 4, ["+   candidate: 4"]),
        ("metadata.name", "a: b", ["- metadata: {name: production}", '+ metadata: {name: "a: b"}']),
        ("spec.denied[0].reason", "it's", ['-       reason: "too slow"  # p99', '+       reason: "it\'s"  # p99']),
        ("spec.denied[0].release", 9, ["-     - release: 2", "+     - release: 9"]),
        ("spec.note.by", "ada", ["+   note:", "+     by: ada"]),
        (
            "metadata.annotations.a",
            1,
            ["- metadata: {name: production}", "+ metadata: {name: production, annotations: {a: 1}}"],
        ),
    ],
)
def test_a_set_value_changes_one_line(dotted: str, value: object, expected: list[str]) -> None:
    """Setting a value touches its own line; comments and quotes stay, a new key follows its last sibling."""
    found = [line.split("   # the")[0] for line in diff(DEPLOYMENT, set_value(DEPLOYMENT, dotted, value))]
    assert found == expected


def test_a_list_grows_by_one_item() -> None:
    """An item is appended in the list's own style; a list that is not there yet is made."""
    item = {"release": 4, "reason": "errors: 3 %"}
    assert diff(DEPLOYMENT, append(DEPLOYMENT, "spec.denied", item)) == ['+     - {release: 4, reason: "errors: 3 %"}']
    bare = b"a: 1\nspec:\n  stable: 3\n"
    assert append(bare, "spec.denied", item) == bare + b'  denied:\n    - {release: 4, reason: "errors: 3 %"}\n'
    for empty in (b"[]", b"[ ]"):
        text = b"spec:\n  denied: %s # none\n" % empty
        assert parse(append(text, "spec.denied", {"release": 4}), "p").value["spec"]["denied"] == ({"release": 4},)
    assert append(b"a: [1, 2] # x\n", "a", 3) == b"a: [1, 2, 3] # x\n"
    assert append(b"a:\n- 1\n- 2\n\n# x\nb: 1\n", "a", 3) == b"a:\n- 1\n- 2\n- 3\n\n# x\nb: 1\n"


def test_removing_takes_the_lines_of_one_entry() -> None:
    """A removed key or item takes its lines along; what becomes empty says so."""
    assert diff(DEPLOYMENT, remove(DEPLOYMENT, "spec.stable")) == ["-   stable: 3   # since May"]
    assert len(diff(DEPLOYMENT, remove(DEPLOYMENT, "spec.denied"))) == 3
    assert b"  denied: []\n\n# the end" in remove(DEPLOYMENT, "spec.denied[0]")
    assert remove(b"a: {b: 1, c: 2}\n", "a.b") == b"a: {c: 2}\n"
    assert remove(b"a: {b: 1, c: 2}\n", "a.c") == b"a: {b: 1}\n"
    assert remove(b"a: [1, 2, 3]\n", "a[1]") == b"a: [1, 3]\n"
    assert remove(b"a: 1\nb: 2", "b") == b"a: 1"
    assert remove(b"- 1\n- 2\n".replace(b"-", b"  -").join([b"a:\n", b""]), "a[0]") == b"a:\n  - 2\n"


def test_endings_marks_and_missing_newlines_stay() -> None:
    """CRLF files stay CRLF, a byte order mark stays, and a last line without its newline is only continued."""
    windows = b"\xef\xbb\xbf" + DEPLOYMENT.replace(b"\n", b"\r\n")
    for edited in (set_value(windows, "spec.candidate", 4), append(windows, "spec.denied", {"release": 4})):
        assert edited.count(b"\n") == edited.count(b"\r\n") == windows.count(b"\n") + 1
        assert edited.startswith(b"\xef\xbb\xbf#")
    assert set_value(b"a: 1", "b", 2) == b"a: 1\nb: 2"


@pytest.mark.parametrize(
    ("data", "dotted", "value", "expected"),
    [
        (b"a:\nb: 1\n", "a", 2, b"a: 2\nb: 1\n"),
        (b"a:   # none yet\nb: 1\n", "a", 2, b"a: 2   # none yet\nb: 1\n"),
        (b"a:\nb: 1\n", "a.c", 2, b"a:\n  c: 2\nb: 1\n"),
        (b"a: {}\n", "a.c", 2, b"a: {c: 2}\n"),
        (b"a: null\n", "a.c", 2, b"a: {c: 2}\n"),
        (b"a: |\n  x\n  y\n\nb: 1\n", "a", "z", b"a: z\n\nb: 1\n"),
        (b"a: >-\n  x\n  y\nb: 1\n", "c", 1, b"a: >-\n  x\n  y\nb: 1\nc: 1\n"),
        (b"b: 1\na: |\n  x\n\n\n# end\n", "c", 1, b"b: 1\na: |\n  x\nc: 1\n\n\n# end\n"),
        (b"a: 'it''s'\n", "a", "they're", b"a: 'they''re'\n"),
        (b"a: x\n", "a", "yes", b'a: "yes"\n'),
        (b"a: x\n", "a", True, b"a: true\n"),
        (b"a: x\n", "a", [1, "b c"], b"a: [1, b c]\n"),
        (b"a: 1\n", "a", 1e-7, b"a: 1.0e-07\n"),
        ("ü: 'é'  # ñ\n".encode(), "ü", "日本", "ü: '日本'  # ñ\n".encode()),
    ],
)
def test_small_edits(data: bytes, dotted: str, value: object, expected: bytes) -> None:
    """Odd places are edited as a person would."""
    assert set_value(data, dotted, value) == expected


@pytest.mark.parametrize(
    ("data", "dotted"),
    [
        (b"a: &x 1\nb: *x\n", "b"),
        (b"a: &x 1\nb: *x\n", "a"),
        (b"a: 1\n", "a.b"),
        (b"a: [1]\n", "a[3]"),
        (b"a: [1]\n", "a.b"),
    ],
)
def test_what_cannot_be_edited_safely_is_refused(data: bytes, dotted: str) -> None:
    """Shared anchors and parents of the wrong type are left to people."""
    with pytest.raises(ModelOpsError) as caught:
        set_value(data, dotted, 2)
    assert caught.value.problems[0].code == "edit-refused"


def test_removing_what_is_not_there_is_refused() -> None:
    """A removal that would do nothing says so."""
    with pytest.raises(ModelOpsError) as caught:
        remove(b"a: 1\n", "b.c")
    assert caught.value.problems[0].code == "edit-refused"


TEXTS = st.one_of(st.text(max_size=10), st.sampled_from(["yes", "1", "a: b", "#", "", "null", "- x", "é #", "a\nb"]))
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(-99, 99), st.floats(-1e9, 1e9), TEXTS)
KEYS = st.text("abcdef", min_size=1, max_size=3)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3).map(tuple), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=10,
)


@st.composite
def files(draw: st.DrawFn) -> tuple[bytes, dict[str, object]]:
    """Draw a file in block style with comments, blank lines and either line ending, and its value."""
    value = draw(st.dictionaries(KEYS, TREES, min_size=1, max_size=4))
    lines: list[str] = []
    for line in block(value):
        lines += draw(st.sampled_from([[], [], [""], ["# note"], ["      # deep note"]]))
        plain = line and line[-1] not in "|>" and '"' not in line
        lines.append(line + draw(st.sampled_from(["", "", "  # why"])) if plain else line)
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    text = newline.join(lines) + draw(st.sampled_from([newline, ""]))
    return text.encode(), value


def leaves(value: object, path: str = "") -> list[str]:
    if isinstance(value, dict) and value:
        return [leaf for key, item in value.items() for leaf in leaves(item, f"{path}.{key}" if path else key)]
    if isinstance(value, tuple) and value:
        return [leaf for index, item in enumerate(value) for leaf in leaves(item, f"{path}[{index}]")]
    return [path]


def readable(data: bytes, value: object) -> bool:
    """Tell whether the drawn comments left the file meaning what it did (inside a block text they do not)."""
    try:
        return repr(parse(data, "p").value) == repr(value)
    except ModelOpsError:
        return False


@given(files(), LEAVES, st.data())
def test_any_scalar_can_be_set_by_changing_its_lines_only(
    file: tuple[bytes, dict[str, object]], new: object, data: st.DataObject
) -> None:
    """Whatever the file looks like, every other line of it stays byte for byte, comments included."""
    content, value = file
    assume(readable(content, value))
    dotted = data.draw(st.sampled_from(leaves(value)))
    edited = set_value(content, dotted, new)
    before, after = content.splitlines(keepends=True), edited.splitlines(keepends=True)
    same = difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    changes = [code for code in same if code[0] != "equal"]
    assert len(changes) <= 1
    assert all(last - first == 1 for _, _, _, first, last in changes)
    assert edited.count(b"#") >= sum(line.lstrip().startswith(b"#") for line in before)


@example((b"a: 1", {"a": 1}), "b", "0\n")
@given(files(), KEYS, LEAVES)
def test_any_key_can_be_added_and_taken_away(file: tuple[bytes, dict[str, object]], key: str, new: object) -> None:
    """An insertion only adds lines, and removing the key again gives the first bytes back."""
    content, value = file
    assume(readable(content, value) and key not in value)
    added = set_value(content, key, new)
    assert parse(added, "p").value == {**value, key: new}
    assert remove(added, key) == content


def removed(content: bytes, dotted: str) -> object:
    """Return the value after a removal, or the code with which it was refused."""
    try:
        return parse(remove(content, dotted), "p").value
    except ModelOpsError as error:
        return error.problems[0].code


@given(files(), st.data())
def test_any_entry_can_be_removed_or_is_refused(file: tuple[bytes, dict[str, object]], data: st.DataObject) -> None:
    """A removal never harms another value: it is verified, or refused."""
    content, value = file
    assume(readable(content, value))
    dotted = data.draw(st.sampled_from(leaves(value)))
    found = removed(content, dotted)
    assert found == "edit-refused" or dotted not in leaves(found) or "[" in dotted


@given(files(), LEAVES, st.data())
def test_any_list_can_grow(file: tuple[bytes, dict[str, object]], new: object, data: st.DataObject) -> None:
    """Appending changes the list and nothing else."""
    content, value = file
    assume(readable(content, value))
    lists = [key for key, item in value.items() if isinstance(item, tuple)]
    assume(lists)
    key = data.draw(st.sampled_from(lists))
    edited = append(content, key, {"x": new})
    assert parse(edited, "p").value[key] == (*value[key], {"x": new})  # type: ignore[misc]


# --- dump


@pytest.mark.parametrize(
    "text", ["yes", "No", "1", "1.0", "null", "~", "", " a", "a ", "a: b", "#a", "2026-01-01", "0x1", "é", "-"]
)
def test_texts_that_some_reader_would_misread_are_quoted(text: str) -> None:
    """What YAML 1.1 or 1.2 might take for something else than a text is quoted."""
    assert parse(f"a: {scalar(text)}\n".encode(), "p").value == {"a": text}
    assert scalar(text).startswith('"')


def test_a_generated_file_is_canonical() -> None:
    """Kind, name and spec in the order of their declaration, defaults left out, the schema comment on top."""
    spec = KINDS["Deployment"].model_validate({"stable": 3, "denied": ({"release": 2, "reason": "slow: p99"},)})
    path = "models/pay/fraud/environments/staging.yaml"
    data = dump("Deployment", "staging", spec, comment="Made by a machine.", path=path)
    assert data.decode() == (
        "# yaml-language-server: $schema=../../../../.modelops/schema/Deployment.json\n"
        "# Made by a machine.\n"
        "apiVersion: modelops/v1\nkind: Deployment\nmetadata:\n  name: staging\n"
        'spec:\n  stable: 3\n  denied:\n    - {release: 2, reason: "slow: p99"}\n'
    )
    assert load_resource(data, path).spec == spec
    assert schema_comment("policies/project.yaml", "Project").endswith("=../.modelops/schema/Project.json")
