"""`modelops schema`: write a JSON Schema for every kind."""

from __future__ import annotations

import json
from pathlib import Path

import click

from modelops.cli.output import emit, output_option
from modelops.errors import Exit, failure
from modelops.spec.layout import SCHEMAS


@click.command("schema")
@click.argument("kinds", metavar="[KIND]...", nargs=-1)
@click.option(
    "-d",
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(SCHEMAS),
    show_default=True,
    help="Folder to write <Kind>.json into.",
)
@output_option
def command(kinds: tuple[str, ...], directory: Path, output: str) -> None:
    """Write the JSON Schema of each KIND, or of all, where the editor comments of spec files expect them.

    With `-o json` the schemas are printed, by kind, and nothing is written.
    """
    from modelops.spec.explain import nearest
    from modelops.spec.kinds import KINDS
    from modelops.spec.schema import json_schema

    for kind in kinds:
        if kind not in KINDS:
            raise failure("unknown-kind", f"there is no kind {kind!r}", exit=Exit.USAGE, hint=nearest(kind, KINDS))
    schemas = {kind: json_schema(kind) for kind in kinds or KINDS}
    if output == "json":
        emit(output, schemas, "")
        return
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for kind, schema in schemas.items():
            text = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
            (directory / f"{kind}.json").write_text(text, encoding="utf-8")
    except OSError as error:
        raise failure(
            "unwritable",
            f"{error.filename} cannot be written: {error.strerror}",
            exit=Exit.WORLD,
            hint="choose another -d",
        ) from None
    emit(output, schemas, "\n".join(str(directory / f"{kind}.json") for kind in schemas))
