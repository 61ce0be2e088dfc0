"""Threat 13: whoever may write where the server logs tells another story of what was asked and answered."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from git_world import git, nobodys_configuration
from modelops import audit
from modelops.changes.sealing import known_log, seal_log, seal_when_due
from modelops.cli._logs import exported_logs
from modelops.clock import clock_from
from modelops.errors import ModelOpsError
from modelops.evidence import Signer, generate_key
from modelops.evidence.envelope import sign
from modelops.logs.folder import Folder
from modelops.predictions import PredictionLog, Row, read_window
from modelops.project.state import seals_in
from modelops.project.workspace import Workspace, open_workspace
from modelops.spec.layout import ReleaseFiles
from world.conftest import Put
from world.hostile import Hostile, hostile

MODEL = "churn"


@dataclass
class Sealed:
    """A world whose answers were logged anew, day by day, with chains, and sealed by the loop's key."""

    world: Hostile

    @property
    def log(self) -> Path:
        return self.world.runtime() / "predictions"

    @property
    def files(self) -> list[Path]:
        return sorted(self.log.glob("*.sqlite"))

    @property
    def seals(self) -> Path:
        return seals_in(self.workspace.state, "production")

    @property
    def workspace(self) -> Workspace:
        return open_workspace(self.world.root, self.world.environ())

    def seal(self, **dropping: object) -> int:
        workspace = self.workspace
        return seal_log(workspace, workspace.known()[1], "production", **dropping).number  # type: ignore[arg-type]

    def found(self, sample: int = 0) -> audit.LogAnswer:
        workspace = self.workspace
        known = known_log(workspace, "production", Folder(self.log))
        rescorer = audit.Rescorer(lambda: workspace.store)
        return audit.log(workspace.repository, known, sample=sample, seed=1, rescorer=rescorer)

    def kinds(self) -> set[str]:
        return {flaw.kind for flaw in self.found().flaws}

    def answer(self, id: str) -> audit.PredictionAnswer:
        workspace = self.workspace
        known = known_log(workspace, "production", Folder(self.log))
        rescorer = audit.Rescorer(lambda: workspace.store)
        return audit.prediction(workspace.repository, id, logs=[known], rescorer=rescorer)


def edit(file: Path, *statements: str) -> None:
    with closing(sqlite3.connect(file)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def logged_anew(world: Hostile) -> Sealed:
    """Log what version 0.1.0 had logged once more, so that it is chained, and seal it."""
    sealed = Sealed(world)
    names = Row._fields
    rows = [Row(**{name: row[name] for name in names}) for row in read_window(sealed.log, MODEL).to_pylist()]
    shutil.rmtree(sealed.log)
    with PredictionLog(sealed.log) as log:
        log.write(rows)
        log.feedback([(row.id, "yes", row.time + 60, MODEL) for row in rows[::3]])
    assert sealed.seal() == 1
    return sealed


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    """One world for attacks on the log and its seals, which are put back after each."""
    with nobodys_configuration(tmp_path_factory.mktemp("git")):
        return logged_anew(hostile(tmp_path_factory.mktemp("world"), on_trial=False))


@pytest.fixture
def sealed(one: Sealed, tmp_path: Path) -> Sealed:
    for part in (one.log, one.seals.parent):
        if not (kept := one.world.root.parent / f"kept-{part.name}").exists():
            shutil.copytree(part, kept)
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(kept, part)
    return one


def test_what_nobody_touched_is_proven(sealed: Sealed) -> None:
    """Every row is sealed, and what was drawn of it is answered by its release with the very same score and label."""
    found = sealed.found(sample=60)
    assert found.ok
    assert all(part.chained and part.sealed_rows == part.rows for part in found.parts)
    assert (found.seals, found.remembered, found.trust.keys) == (1, 1, ("local",))
    assert found.sample is not None
    assert found.sample.equal + len(found.sample.impossible) == 60
    assert {reason for _, reason in found.sample.impossible} <= {"the release failed on it, so there is no score"}


def test_an_invented_answer_is_contradicted(sealed: Sealed) -> None:
    """The edit of a score is told three times: by the chain, by the release itself, and by the exit code."""
    with closing(sqlite3.connect(sealed.files[1])) as connection:
        (id,) = connection.execute("SELECT id FROM answers ORDER BY seq LIMIT 1").fetchone()
    before = sealed.answer(id)
    assert before.proof is not None
    assert (before.ok, before.proof.status, before.proof.rescored.status) == (True, "sealed", "equal")
    edit(sealed.files[1], "UPDATE answers SET score = 1e-6, entity = 'c-innocent'")
    ended = sealed.world.run("audit", "prediction", id)
    assert ended.code == 1
    assert re.search(r"row +row 1 of \S+: NOT PROVEN", ended.out)
    assert "rows 1 to " in ended.out
    assert re.search(r"score +CONTRADICTED: the score is another; it answers 0\.\d+", ended.out)
    # The release and its promotion are what they were, and the answer says that this is all they vouch for.
    assert "release    signed, with its approval: verified, by local" in ended.out
    assert "evidence verified" not in ended.out


def rewrite(sealed: Sealed) -> None:
    """Write the whole log anew, with chains that hold, one answer being another."""
    rows = [Row(**row) for row in read_window(sealed.log, MODEL, columns=Row._fields).to_pylist()]
    shutil.rmtree(sealed.log)
    with PredictionLog(sealed.log) as log:
        log.write([row._replace(entity="c-innocent") if at == 5 else row for at, row in enumerate(rows)])


def swap(sealed: Sealed) -> None:
    one, other = sealed.files[:2]
    data = one.read_bytes(), other.read_bytes()
    one.write_bytes(data[1])
    other.write_bytes(data[0])


def rows_of(table: str, condition: str) -> Callable[[Sealed], None]:
    return lambda sealed: edit(sealed.files[1], f"DELETE FROM {table} WHERE {condition}")


def both(condition: str) -> Callable[[Sealed], None]:
    tables = ("answers", "inputs", "feedback")
    return lambda sealed: edit(sealed.files[1], *(f"DELETE FROM {table} WHERE {condition}" for table in tables))


def renumbered(sealed: Sealed) -> None:
    for table in ("answers", "inputs", "feedback"):
        for old, new in ((3, -1), (4, 3), (-1, 4)):
            edit(sealed.files[1], f"UPDATE {table} SET seq = {new} WHERE seq = {old}")


@pytest.mark.parametrize(
    ("attack", "kind"),
    [
        (lambda sealed: edit(sealed.files[0], "UPDATE inputs SET features = '{}' WHERE seq = 2"), "changed"),
        (lambda sealed: edit(sealed.files[0], "UPDATE routes SET release = 9"), "changed"),
        (lambda sealed: edit(sealed.files[0], "UPDATE feedback SET label = 'no'"), "feedback"),
        (lambda sealed: edit(sealed.files[0], "UPDATE labels SET label = 'no'"), "changed"),
        (both("seq BETWEEN 5 AND 9"), "missing"),
        (both("seq > 20"), "cut"),
        (rows_of("labels", "number > 2"), "cut"),
        (renumbered, "changed"),
        (lambda sealed: sealed.files[1].unlink(), "gone"),
        (lambda sealed: sealed.files[-1].unlink(), "gone"),
        (lambda sealed: shutil.rmtree(sealed.log), "gone"),
        (swap, "replaced"),
        (rewrite, "rewritten"),
        (lambda sealed: sealed.files[1].rename(sealed.log / "2026-04-20-w7-1.sqlite"), "replaced"),
    ],
)
def test_the_log_cannot_be_made_another_one(sealed: Sealed, attack: Callable[[Sealed], None], kind: str) -> None:
    """Changed, removed, cut, renumbered, exchanged, written anew: each is found, and the word for it is right."""
    attack(sealed)
    found = sealed.found()
    assert not found.ok
    assert kind in {flaw.kind for flaw in found.flaws}


def test_an_old_copy_lacks_what_was_sealed_since(sealed: Sealed) -> None:
    """Putting a file back to what it was once takes away rows that a later seal covers; a pass does not seal that."""
    old = sealed.log.parent / "old.sqlite"
    shutil.copy(sealed.files[-1], old)
    rows = [Row(**row) for row in read_window(sealed.log, MODEL, columns=Row._fields).to_pylist()]
    with PredictionLog(sealed.log) as log:
        log.write([rows[-1]._replace(id="late")])
    number = sealed.seal()
    shutil.copy(old, sealed.files[-1])
    assert sealed.kinds() == {"cut"}
    sealed.files[-1].unlink()
    with PredictionLog(sealed.log) as log:
        log.write([row._replace(id=f"{row.id}-anew") for row in rows if row.time >= rows[-1].time - 60] * 1)
        log.write([rows[-1]._replace(id=f"more-{at}") for at in range(400)])
    workspace = sealed.workspace
    (problem, *_) = seal_when_due(workspace, workspace.known()[1], "production")
    assert problem.code == "log-flawed"
    assert sealed.found().seals == number
    assert "rewritten" in sealed.kinds()
    # Later tests go on from the first seal, as the repository remembers it.
    git(sealed.world.origin, "update-ref", "refs/modelops/seals/production", "refs/modelops/seals/production~1")
    git(sealed.world.root, "fetch", "-q", "origin", "+refs/modelops/*:refs/modelops-remotes/origin/*")


def test_an_id_that_is_not_there_says_whether_it_could_be_gone(sealed: Sealed) -> None:
    """Where the log is whole, no such prediction was; where it is not, it may have been removed."""
    with pytest.raises(ModelOpsError, match=r"2026-03-10-w0-1.sqlite to 2026-05-05-w0-1.sqlite: whole and sealed"):
        sealed.answer("nobody")
    both("seq = 7")(sealed)
    with pytest.raises(ModelOpsError, match=r"INCOMPLETE, see modelops audit log production: 2026-04-20-w0-1.sqlite"):
        sealed.answer("nobody")


def test_two_answers_of_one_id_are_not_one(sealed: Sealed) -> None:
    """A file that somebody adds cannot tell another story of an id that is in the log already."""
    row = next(Row(**row) for row in read_window(sealed.log, MODEL, columns=Row._fields).to_pylist())
    with PredictionLog(sealed.log), PredictionLog(sealed.log) as other:
        other.write([row._replace(entity="c-innocent")])
    answer = sealed.answer(row.id)
    assert not answer.ok
    assert answer.proof is not None
    assert "twice" in {flaw.kind for flaw in answer.proof.flaws}


def resealed(sealed: Sealed) -> None:
    """Write the log anew, and seal it with a key of one's own."""
    rewrite(sealed)
    sealed.seals.unlink()
    generate_key(sealed.log.parent / "own.pem")
    signer = Signer.load(sealed.log.parent / "own.pem")
    sealed.seals.write_bytes(sign({"_type": "https://in-toto.io/Statement/v1"}, signer))


@pytest.mark.parametrize(
    "attack",
    [
        lambda sealed: sealed.seals.unlink(),
        lambda sealed: shutil.rmtree(sealed.seals.parent),
        lambda sealed: sealed.seals.write_bytes(b""),
        lambda sealed: sealed.seals.write_bytes(sealed.seals.read_bytes()[:-9]),
        lambda sealed: sealed.seals.write_bytes(sealed.seals.read_bytes().replace(b'"sig":"M', b'"sig":"N')),
        lambda sealed: sealed.seals.write_bytes(sealed.seals.read_bytes() * 2),
        resealed,
    ],
)
def test_seals_cannot_be_taken_away(sealed: Sealed, attack: Callable[[Sealed], None]) -> None:
    """Without its seals, with half of them or with others, the log is not believed, and no pass builds on them."""
    attack(sealed)
    assert "seals" in sealed.kinds()
    with pytest.raises(ModelOpsError) as caught:
        sealed.seal()
    assert caught.value.first.code == "seals-broken"


def test_what_is_dropped_by_rule_is_told_apart_from_what_is_removed(sealed: Sealed) -> None:
    """The rule signs what it drops, before it does; somebody who removes the next file has no such word."""
    workspace = sealed.workspace
    names = Folder(sealed.log).expired(workspace.clock(), days=20.0)
    assert len(names) == 1
    assert sealed.seal(dropping=names, kept_days=20.0) == 2
    Folder(sealed.log).retain(workspace.clock(), days=20.0)
    found = sealed.found()
    assert found.ok
    assert [(one.name, one.rows, one.kept_days) for one in found.dropped] == [(names[0], 60, 20.0)]
    told = sealed.world.run("audit", "log", "production")
    assert (told.code, "rows 1 to 60, 2026-03-10" in told.out, "as older than 20 days" in told.out) == (0, True, True)
    sealed.files[0].unlink()
    assert sealed.kinds() == {"gone"}
    git(sealed.world.origin, "update-ref", "refs/modelops/seals/production", "refs/modelops/seals/production~1")
    git(sealed.world.root, "fetch", "-q", "origin", "+refs/modelops/*:refs/modelops-remotes/origin/*")


def test_a_log_without_chains_is_neither_blamed_nor_blessed(put: Put) -> None:
    """What 0.1.0 logged is answered and recomputed as ever, and said to be shown by nothing but that."""
    world = put(on_trial=False)
    log = world.run("audit", "log", "production")
    assert (log.code, "not chained: 753 rows, written before logs were" in log.out) == (0, True)
    assert "whole" not in log.out
    id = read_window(world.runtime() / "predictions", MODEL, columns=("id",))["id"].to_pylist()[0]
    answer = world.run("audit", "prediction", id)
    assert answer.code == 0
    assert "NOT CHAINED: nothing shows whether it was edited" in answer.out
    assert "the release answers the logged features with the same score and label" in answer.out
    shutil.rmtree(world.root / ".modelops" / "store")
    gone = world.run("audit", "prediction", id)
    assert (gone.code, "not recomputed: the artifact cannot be had here" in gone.out) == (0, True)


def test_who_changed_the_release_of_an_answer_without_approval_is_told(put: Put) -> None:
    """The audit of one prediction says of its release what the audit of that release says, by its exit code too."""
    world = put(on_trial=False)
    log = read_window(world.runtime() / "predictions", MODEL, columns=("id", "release"))
    id, release = log["id"][0].as_py(), log["release"][0].as_py()
    bad = world.push("note", {f"{ReleaseFiles(MODEL, release).folder}/note.md": "All is well.\n"})
    for asked in (("prediction", id), ("release", MODEL, str(release))):
        answer = world.run("audit", *asked)
        assert (answer.code, "NOT APPROVED" in answer.out, bad[:10] in answer.out) == (1, True, True), answer.out


def test_an_export_is_held_to_the_seals_anywhere(sealed: Sealed, tmp_path: Path) -> None:
    """Rows that were carried away are proven by the seals that went along; edits and gaps in them are found."""
    import pyarrow.parquet as pq

    world, out = sealed.world, tmp_path / "out"
    assert world.run("audit", "export", "production", str(out)).code == 0
    shutil.rmtree(sealed.log)

    def found() -> audit.LogAnswer:
        workspace = sealed.workspace
        (known,) = exported_logs(workspace, [f"production={out}"])
        return audit.log(workspace.repository, known)

    whole = found()
    assert (whole.ok, sum(part.sealed_rows for part in whole.parts)) == (True, 753)
    file = out / f"model={MODEL}" / "day=2026-04-20.parquet"
    table = pq.read_table(file, partitioning=None)
    entity = table.column_names.index("entity")
    forged = table.set_column(entity, "entity", [["c-innocent"] * table.num_rows])
    for other, kind in ((forged, "changed"), (table.slice(1), "missing")):
        pq.write_table(other, file)
        assert {flaw.kind for flaw in found().flaws} == {kind}
    pq.write_table(table, file)
    id = table["id"][0].as_py()
    told = world.run("audit", "prediction", id, "--log", f"production={out}")
    assert (told.code, "chained, sealed" in told.out) == (0, True)


def test_the_loop_seals_once_an_hour_and_remembers_it_in_git(sealed: Sealed) -> None:
    """A pass that finds nothing new signs nothing; new rows and labels are sealed at the next look."""
    workspace = sealed.workspace
    graph = workspace.known()[1]
    begun = workspace.clock()
    assert seal_when_due(workspace, graph, "production") == ()
    assert sealed.found().seals == 1
    row = Row(**read_window(sealed.log, MODEL, columns=Row._fields).slice(0, 1).to_pylist()[0])
    with PredictionLog(sealed.log) as log:
        log.write([row._replace(id="new")])
        log.feedback([("new", "no", row.time, MODEL)])
    assert seal_when_due(workspace, graph, "production") == ()
    answer = sealed.answer("new")
    assert answer.proof is not None
    assert (answer.proof.status, answer.proof.truth, sealed.found().seals) == ("chained", "chained", 1)
    sealed.world.at(f"{begun + timedelta(hours=2):%Y-%m-%dT%H:%M:%SZ}")
    later = Workspace(workspace.repository, sealed.world.environ(), clock_from(sealed.world.environ()))
    assert seal_when_due(later, graph, "production") == ()
    answer = sealed.answer("new")
    assert answer.proof is not None
    assert (answer.proof.status, answer.proof.truth, sealed.found().remembered) == ("sealed", "sealed", 2)
    assert "seal 2" in git(sealed.world.origin, "log", "-1", "--format=%s", "refs/modelops/seals/production")
