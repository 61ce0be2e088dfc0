"""`modelops judge`: one tool at a time, for models that others train and serve."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from modelops.cli.output import emit, note, output_option
from modelops.errors import Exit

if TYPE_CHECKING:
    from modelops.evidence import Signer

_path = click.Path(dir_okay=False, path_type=Path)


@click.group("judge")
def command() -> None:
    """Judge tables of rows or predictions, whoever's model they are of; no repository is needed.

    `predictions` holds them against gates, `drift` compares two tables, `verify` proves later what was found.
    """


@command.command("predictions")
@click.argument("file", type=_path)
@click.option("--truth", required=True, metavar="COLUMN", help="What was true.")
@click.option(
    "--score",
    "scores",
    multiple=True,
    metavar="COLUMN|CLASS=COLUMN",
    help="Probability of the positive class, or the predicted value; of several classes one for each.",
)
@click.option("--label", metavar="COLUMN", help="The predicted label; by default what the threshold gives.")
@click.option("--stable-score", metavar="COLUMN", help="The score of the model that is served now, on the same rows.")
@click.option("--weight", metavar="COLUMN", help="What each row counts for.")
@click.option("--positive", metavar="LABEL", help="The label that counts as positive, of two.")
@click.option("--task", type=click.Choice(["binary-classification", "multiclass-classification", "regression"]))
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.5,
    show_default=True,
    help="The score from which on a row is positive.",
)
@click.option("--policy", type=_path, metavar="FILE", help="A GatePolicy; or say limits by the two options below.")
@click.option("--minimum", "least", multiple=True, metavar="METRIC=NUMBER", help="The least that a metric may be.")
@click.option("--maximum", "most", multiple=True, metavar="METRIC=NUMBER", help="The most that a metric may be.")
@click.option("--evidence", type=_path, metavar="FILE", help="Write what was found as signed in-toto statements.")
@click.option(
    "--key", type=_path, metavar="FILE", help="The private key that signs; the repository's around us unless given."
)
@output_option
def predictions(
    file: Path,
    truth: str,
    scores: tuple[str, ...],
    label: str | None,
    stable_score: str | None,
    weight: str | None,
    positive: str | None,
    task: Literal["binary-classification", "multiclass-classification", "regression"] | None,
    threshold: float,
    policy: Path | None,
    least: tuple[str, ...],
    most: tuple[str, ...],
    evidence: Path | None,
    key: Path | None,
    output: str,
) -> int:
    """Hold the predictions in FILE, with the truth beside them, against gates.

    FILE is CSV, Parquet, a workbook or JSON. Rows without a truth do not count. Exits with 1 when a gate does not pass.
    """
    from modelops.outside.judging import Columns, judgement, limits, read_policy
    from modelops.outside.tables import reading
    from modelops.views.proofs import judging as view

    if (policy is None) == (not least and not most):
        raise click.UsageError("say what is asked for: --policy FILE, or --minimum and --maximum")
    if key is not None and evidence is None:
        raise click.UsageError("--key signs --evidence FILE")
    if evidence is not None and evidence.resolve() in {one.resolve() for one in (file, policy, key) if one is not None}:
        raise click.UsageError(f"--evidence would overwrite {evidence}: name another file")
    by_class = {name: column for name, found, column in (one.rpartition("=") for one in scores) if found}
    alone = [one for one in scores if "=" not in one]
    if (by_class and alone) or len(alone) > 1 or len(by_class) + len(alone) < len(scores) or "" in by_class:
        raise click.UsageError("give one --score COLUMN, or a --score CLASS=COLUMN for each class")
    asked = read_policy(policy) if policy is not None else limits(least, most)
    signer = _signer(key) if evidence is not None else None
    columns = Columns(
        truth, alone[0] if alone else None, by_class or None, label, stable_score, weight, positive, task, threshold
    )
    with reading() as reader:
        found = judgement(reader, file, columns, asked)
    if evidence is not None and signer is not None:
        _write(evidence, found, asked.name, signer)
    emit(output, view.data(found), lambda: view.text(found))
    return Exit.OK if found.passed else Exit.NO


def _signer(key: Path | None) -> Signer:
    from modelops.evidence import Signer
    from modelops.project.workspace import open_workspace

    return Signer.load(key) if key is not None else open_workspace().signer


def _write(path: Path, found: object, policy: str, signer: Signer) -> None:
    from modelops.cli.output import save
    from modelops.outside.judging import Judgement
    from modelops.outside.sealing import sealed

    assert isinstance(found, Judgement)
    save(path, sealed(found, policy, signer).decode())
    note(f"wrote {path}")


@command.command("drift")
@click.argument("reference", type=_path)
@click.argument("window", type=_path)
@click.option("--column", "columns", multiple=True, metavar="COLUMN", help="Only this column; repeat for more.")
@click.option("--score", metavar="NAME", help="A drift score, such as wasserstein; psi unless given.")
@output_option
def drift(reference: Path, window: Path, columns: tuple[str, ...], score: str | None, output: str) -> int:
    """Compare the rows of WINDOW with those of REFERENCE, column by column.

    Exits with 1 when a column drifted beyond its limit, by more than chance, or when the rows are too few to tell.
    """
    from modelops.outside.drifting import drifted
    from modelops.outside.tables import reading
    from modelops.views.proofs import judging as view

    with reading() as reader:
        found = drifted(reader, reference, window, columns=columns, score=score)
    emit(output, view.drift_data(found), lambda: view.drift_text(found))
    return Exit.OK if found.passed else Exit.NO


@command.command("verify")
@click.argument("file", type=_path)
@click.argument("evidence", type=_path)
@click.option("--key", type=_path, required=True, metavar="FILE", help="The public key whose signature counts.")
@output_option
def verify(file: Path, evidence: Path, key: Path, output: str) -> int:
    """Tell what EVIDENCE says of the predictions in FILE, if it is signed and about these very bytes."""
    from modelops.outside.sealing import proven
    from modelops.views.proofs import judging as view

    found = proven(file, evidence, key)
    emit(output, view.proven_data(found), lambda: view.proven_text(found))
    return 0
