"""Write docs/reference/ from the code, and the page of threats: `python docs/generate.py`.

With `--check`, only say whether they are current.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import yaml
from attacks import attacks_page
from error_codes import error_codes
from pydantic import BaseModel

from modelops.cli import VERBS, cli
from modelops.errors import Exit
from modelops.plugins import SHELVES
from modelops.serving.rpc.messages import proto
from modelops.spec.kinds import IMMUTABLE_KINDS, KINDS, PLACES
from modelops.spec.meta import Strict
from threats import threats_page

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent

EXAMPLES = {
    "Model": "models/fraud-detection/model.yaml",
    "DataSnapshot": "models/diabetes-progression/data/study-2004.yaml",
    "RolloutPlan": "models/fraud-detection/rollout.yaml",
    "Monitor": "models/fraud-detection/monitor.yaml",
    "Deployment": "models/fraud-detection/environments/production.yaml",
    "Release": "docs/examples/release.yaml",
    "Promotion": "docs/examples/promotion.yaml",
    "Project": "policies/project.yaml",
    "Environment": "policies/environments/staging.yaml",
    "GatePolicy": "policies/gates/standard.yaml",
    "Rule": "policies/rules/sensitive-needs-fairness.yaml",
    "ApprovalPolicy": "policies/approvals.yaml",
    "TrustPolicy": "policies/trust.yaml",
    "AccessPolicy": "docs/examples/access.yaml",
}
EXAMPLE_LINES = 70
KEPT = frozenset({"reference/estimators.md", "reference/protocol.md", "reference/pull-request-report.md"})
"""Pages that are held by tests of their own: estimators, the clauses of the protocol, the verbs on a pull request."""

WRITTEN_BY = {
    "Model": "People; `modelops init --model` drafts one from data.",
    "DataSnapshot": "`modelops data snapshot`, `modelops init --model`, and `modelops monitor` for a retraining.",
    "RolloutPlan": "People; `modelops init --model` drafts one.",
    "Monitor": "People; `modelops init --model` drafts one.",
    "Deployment": "`modelops promote` (by pull request), `modelops release`, `reconcile` and `rollback`.",
    "Release": "`modelops release`, with `evidence.intoto.jsonl`, `model.sigstore.json` and `MODEL_CARD.md` beside it.",
    "Promotion": "`modelops release`, `modelops reconcile` and `modelops rollback`, with signed statements in "
    "`<name>.intoto.jsonl` beside it.",
    "Project": "People; `modelops init` writes the first one.",
    "Environment": "People; `modelops init` writes three.",
    "GatePolicy": "People; `modelops init` writes four, and one for each model that it drafts from data.",
    "Rule": "People; `modelops init` writes seven.",
    "Outcomes": "People, or `modelops data outcomes` from a data source; it goes in by pull request.",
    "ApprovalPolicy": "People; `modelops init` writes the first one.",
    "TrustPolicy": "People; `modelops init` writes the first one with a new key.",
    "AccessPolicy": "People; an Environment takes it up by name.",
    "AlertPolicy": "People.",
    "Silence": "People, by a pull request that says why.",
    "DataSource": "People; models, snapshots and other sources name it.",
}

SHELF_TITLES = {
    "gates": "Gates",
    "strategies": "Rollout strategies",
    "targets": "Targets",
    "drift": "Drift scores",
    "stores": "Stores",
    "forges": "Forges",
    "exports": "Exports",
    "logs": "Logs",
    "alerts": "Alerts",
    "runtimes": "Runtimes",
}
SHELF_PLACES = {
    "gates": "`spec.gates[].type` and `.params` of a [GatePolicy](../kinds/GatePolicy.md)",
    "strategies": "`spec.strategy` of a [RolloutPlan](../kinds/RolloutPlan.md)",
    "targets": "`spec.target` of an [Environment](../kinds/Environment.md)",
    "drift": "`spec.drift[]` of a [Monitor](../kinds/Monitor.md), and `score` of the [drift gate](gates.md#drift)",
    "stores": "`spec.store` of the [Project](../kinds/Project.md)",
    "forges": "`spec.forge` of the [Project](../kinds/Project.md)",
    "alerts": "`spec.routes[].send` of the [AlertPolicy](../kinds/AlertPolicy.md)",
    "runtimes": "what `train` returns, or `spec.training.runtime` of a [Model](../kinds/Model.md)",
    "exports": "`modelops render ENV --export KEY`, with `--param` for each parameter",
    "logs": "the answer of a [target](targets.md) that runs; `exported` is what `--log` of `audit prediction` and "
    "`rollout replay` reads",
}

EXIT_MEANINGS = {
    Exit.OK: ("yes, or nothing to do", "Go on."),
    Exit.NO: (
        "the answer is no",
        "A gate failed, drift was found, an approval is missing, a release may not be promoted, or what is asked for "
        "is refused. With `--exit-code`: something is out of sync.",
    ),
    Exit.USAGE: ("you asked wrongly", "An unknown verb, option, model or environment, or a missing `--yes`."),
    Exit.FILES: ("your files are wrong", "Each problem has its file, line, column and a hint; all are listed at once."),
    Exit.WORLD: ("the world failed", "git, store, disk, network or runtime. Nothing is lost; running again may help."),
    Exit.BUG: ("modelops is wrong", "A defect. The traceback is saved, and its path is printed."),
    Exit.INTERRUPTED: ("interrupted", "By Ctrl-C, or a question that was answered with no."),
}

# Said by a type, not by a field: belongs to the constraints.
TYPE_TEXTS = {
    "kebab-case, 1 to 63 characters": "name",
    "path below models/, kebab-case segments": "model name",
    "sha256: and 64 hexadecimal digits": "digest",
    "full git object id": "git object id",
    "as a part of a DNS name: lower-case letters, digits, hyphens and dots": "object name",
    "as registry.example.com/modelops@sha256:…": "pinned image",
    "cores, as 500m or 2": "text",
    "bytes, as 512Mi or 2G": "text",
    "a folder below the root of the repository": "text",
    "without spaces": "text",
}
MEANINGS: Mapping[str, str] = yaml.safe_load((DOCS / "meanings.yaml").read_text(encoding="utf-8"))
KIND_TEXTS = {
    "Environment": "A place where models run, and how a release gets there.",
    "TrustPolicy": "Whose signatures count, and for what.",
}


def cell(text: str) -> str:
    """Return a text as one cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|") or "–"


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [headers, ["---"] * len(headers), *([cell(text) for text in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def page(title: str, *parts: str) -> str:
    """Return a page: a title, who wrote it, and its parts."""
    note = "<!-- Written by docs/generate.py from the code; edit the code instead. -->"
    return "\n\n".join([f"# {title}", note, *(part.strip("\n") for part in parts if part.strip())]) + "\n"


def camel(name: str) -> str:
    """Return a snake_case name as it is written in a file."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def prose(text: str | None) -> str:
    """Return a docstring as Markdown: literals, maths and headings of its sections in Markdown's own form."""
    lines = inspect.cleandoc(text or "").splitlines()
    shown: list[str] = []
    for number, line in enumerate(lines):
        if re.fullmatch(r"-{3,}", line):
            continue
        heading = number + 1 < len(lines) and re.fullmatch(r"-{3,}", lines[number + 1])
        shown.append(f"**{line}**\n" if heading else re.sub(r"^\.\. math::", "   ", line))
    joined = re.sub(r"``([^`]+)``", lambda found: f"`{_field_name(found[1])}`", "\n".join(shown))
    return re.sub(r":math:`([^`]+)`", r"$\1$", joined)


def _field_name(word: str) -> str:
    return camel(word) if re.fullmatch(r"[a-z]+(_[a-z]+)+", word) else word


# --- the command line -------------------------------------------------------------------------------------------------


def options_table(command: click.Command) -> str:
    """Return a command's options."""
    rows = []
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
            rows.append((f"{names}{_value_of(parameter)}", parameter.help or "", _default_of(parameter)))
    return table(("option", "meaning", "default"), rows) if rows else ""


def _value_of(option: click.Option) -> str:
    if option.is_flag or option.count:
        return ""
    if isinstance(option.type, click.Choice):
        return " " + " or ".join(f"`{choice}`" for choice in option.type.choices)
    value = option.metavar or option.type.name.upper()
    return f" `{value.replace(' RANGE', '')}`" + (", repeatable" if option.multiple else "")


def _default_of(option: click.Option) -> str:
    if option.required:
        return "required"
    plain = isinstance(option.default, str | int | float | Path) and not isinstance(option.default, bool)
    return f"`{option.default}`" if plain and str(option.default) else ""


def usage(command: click.Command, path: str) -> str:
    """Return the usage line of a command."""
    context = click.Context(command, info_name=path)
    return f"```text\n{' '.join(command.get_usage(context).removeprefix('Usage: ').split())}\n```"


def commands_of(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """Yield a command and its subcommands with the words that call them."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=path)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None:
                yield from commands_of(inner, f"{path} {name}")


def cli_page() -> str:
    """Return the page of every verb, subcommand and option."""
    parts = [
        "Standard output is data, standard error everything else; what takes longer than a second says there what is "
        "being done, on a terminal alone. Exit codes are [the same for every verb]"
        "(exit-codes.md), and every error has [a stable code](errors.md). `NO_COLOR` and `FORCE_COLOR` are honoured.",
        usage(cli, "modelops"),
        options_table(cli),
        table(("verb", "meaning"), [(f"[`{verb}`](#modelops-{verb})", text) for verb, text in VERBS.items()]),
    ]
    for path, command in commands_of(cli, "modelops"):
        if command is cli:
            continue
        level = "##" if path.count(" ") == 1 else "###"
        text = re.sub(r"\n(?=\S)", " ", inspect.cleandoc((command.help or "").replace("\b\n", ""))).replace(
            "\n ", "\n\n"
        )
        parts += [f"{level} {path}", usage(command, path), text, options_table(command)]
    return page("Command line", *parts)


# --- kinds and parameters ---------------------------------------------------------------------------------------------


def records_of(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """Return the records that a record's fields hold, in the order in which they first appear."""
    found: dict[str, type[BaseModel]] = {}

    def look(annotation: Any) -> None:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            if annotation.__name__ not in found and annotation is not model:
                found[annotation.__name__] = annotation
                for info in annotation.model_fields.values():
                    look(info.annotation)
            return
        for argument in getattr(annotation, "__args__", ()):
            look(argument)

    for info in model.model_fields.values():
        look(info.annotation)
    return found


def type_text(schema: Mapping[str, Any]) -> str:
    """Return a JSON Schema as a word or two."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(type_text(inner) for inner in schema["anyOf"]))
    if "allOf" in schema:
        return type_text(schema["allOf"][0])
    if "enum" in schema or "const" in schema:
        return " or ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    match schema.get("type"):
        case "array":
            return f"list of {type_text(schema.get('items', {}))}"
        case "object":
            inner = schema.get("additionalProperties")
            return f"mapping to {type_text(inner)}" if isinstance(inner, dict) and inner else "mapping"
        case None:
            return "any value"
        case kind:
            return TYPE_TEXTS.get(schema.get("description", "")) or {"null": "null", "string": "text"}.get(kind, kind)


_LIMITS = {
    "minimum": "at least {}", "maximum": "at most {}", "exclusiveMinimum": "above {}", "exclusiveMaximum": "below {}",
    "minLength": "at least {} characters", "maxLength": "at most {} characters", "minItems": "at least {} items",
    "maxItems": "at most {} items", "pattern": "matches `{}`",
}  # fmt: skip


def constraints(schema: Mapping[str, Any]) -> str:
    """Return what a value must satisfy beyond its type."""
    known = next((text for text in TYPE_TEXTS if text in schema.get("description", "")), None)
    said = [known] if known else []
    for key, text in _LIMITS.items():
        if key in schema and not (key == "pattern" and known):
            limit = schema[key]
            said.append(text.format(f"{limit:g}" if isinstance(limit, float) else limit))
    inside = [*schema.get("anyOf", ()), *([schema["items"]] if "items" in schema else [])]
    said += [nested for inner in inside if (nested := constraints(inner))]
    return "; ".join(dict.fromkeys(said)).replace("1 items", "1 item").replace("1 characters", "1 character")


def default_text(name: str, schema: Mapping[str, Any], required: Iterable[str]) -> str:
    """Return a field's default."""
    if name in required:
        return "required"
    if "default" not in schema:
        return "`{}`" if schema.get("type") == "object" else "`[]`"
    default = schema["default"]
    if default is None:
        return "`null`"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, dict) and default:
        shown = ", ".join(f"{key}: {value}" for key, value in default.items() if value not in (None, {}, []))
        return f"`{{{shown}}}`" if len(shown) < 60 else "its own defaults"
    if isinstance(default, list) and default and all(isinstance(item, dict) for item in default):
        return f"`[{', '.join(default_text('', {'default': item}, ()).strip('`') for item in default)}]`"
    return f"`{default}`" if default != "" else '`""`'


def sentences(text: str) -> list[str]:
    """Return the sentences of a docstring; a clause after a colon or semicolon that begins with a field is one."""
    flat = " ".join(prose(text).split())
    return [
        part.strip() for part in re.split(r"(?<=\.)\s+(?=[A-Z`])|(?<=;)\s+(?=`)|(?<=:)\s+(?=`\w+`: )", flat) if part
    ]


def told_of(model: type[BaseModel]) -> list[str]:
    """Return what a record's docstring says, and those of the records that it is built on, its own first."""
    records = [one for one in model.__mro__ if one.__module__.startswith("modelops.") and one is not Strict]
    return [inspect.cleandoc(one.__doc__) for one in records if one.__doc__]


def meaning(record: str, name: str, schema: Mapping[str, Any], model: type[BaseModel]) -> str:
    """Return what a field means: its description, else what the docstring says about it, or one that it builds on."""
    said = schema.get("description", "")
    if said and said not in TYPE_TEXTS and "$ref" not in schema:
        return str(said)[0].upper() + str(said)[1:].rstrip(".") + "."
    if (told := MEANINGS.get(f"{record}.{name}")) is not None:
        return told
    for text in told_of(model):
        about = [sentence for sentence in sentences(text) if re.search(rf"`{name}[`:]", sentence)]
        if len(about) == 1 and about[0].count("`") == 2:
            return about[0]
    return ""


def fields_table(model: type[BaseModel], owner: str | None = None) -> str:
    """Return a record's fields; ``owner`` stands for its name where many records share one."""
    schema = model.model_json_schema(by_alias=True)
    required = schema.get("required", ())
    rows = [
        (
            f"`{name}`", type_text(inner), default_text(name, inner, required), constraints(inner),
            meaning(owner or model.__name__, name, inner, model),
        )
        for name, inner in schema.get("properties", {}).items()
    ]  # fmt: skip
    return table(("field", "type", "default", "constraints", "meaning"), rows) if rows else "It has no parameters."


def place_of(kind: str) -> str:
    """Return where a kind's files live."""
    return PLACES[kind].path("<model>", "<name>")


def summary(model: type[BaseModel]) -> str:
    """Return the first sentence of a record's docstring."""
    return sentences(told_of(model)[0])[0]


def about_kind(kind: str) -> str:
    """Return what a kind is: the module's words about it, or its docstring's first sentence."""
    if kind in KIND_TEXTS:
        return KIND_TEXTS[kind]
    module = inspect.getdoc(importlib.import_module(KINDS[kind].__module__)) or ""
    found = re.match(rf"kind: {kind} — (.*)", module) or re.match(r"The spec of .*?[:;] (.*)", summary(KINDS[kind]))
    return found[1][0].upper() + found[1][1:] if found else summary(KINDS[kind])


def more_about(kind: str) -> str:
    """Return the docstring of a kind without its first sentence."""
    paragraphs = prose(KINDS[kind].__doc__).split("\n\n", 1)
    return paragraphs[1] if len(paragraphs) > 1 else ""


def example(kind: str) -> str:
    """Return the example of a kind: a file of the repository, or ``docs/examples/<Kind>.yaml``, if there is one."""
    path = EXAMPLES.get(kind, f"docs/examples/{kind}.yaml")
    if kind not in EXAMPLES and not (ROOT / path).is_file():
        return ""
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    more = len(lines) - EXAMPLE_LINES
    cut = [*lines[:EXAMPLE_LINES], f"# and {more} more lines"] if more > 0 else lines
    return f"## Example\n\n`{path}`:\n\n" + "\n".join(["```yaml", *cut, "```"])


def kind_page(kind: str) -> str:
    """Return the page of a kind."""
    model = KINDS[kind]
    immutable = " Immutable: once merged, a changed file is an error." if kind in IMMUTABLE_KINDS else ""
    parts = [
        about_kind(kind),
        f"**File:** `{place_of(kind)}`.{immutable}\n\n**Written by:** {WRITTEN_BY.get(kind, 'People.')}",
        "Every file has the same envelope: `apiVersion: modelops/v1`, `kind`, `metadata` with `name` (and "
        "`annotations`, free text that nothing reads), and `spec`. An unknown key is an error.",
        example(kind),
        "## spec",
        more_about(kind),
        fields_table(model),
    ]
    for name, record in records_of(model).items():
        parts += [f"### {name}", prose(record.__doc__), fields_table(record)]
    return page(kind, *parts)


def kinds_page() -> str:
    """Return the index of the kinds."""
    rows = [(f"[{kind}]({kind}.md)", f"`{place_of(kind)}`", about_kind(kind)) for kind in KINDS]
    return page(
        "Kinds", "One small file per fact; the path is the identity.", table(("kind", "file", "what it is"), rows)
    )


def plugins_of(shelf: str) -> list[str]:
    """Return the plugins that come with modelops, whatever else is installed."""
    package = importlib.import_module(f"modelops.{shelf}")
    return sorted(info.name for info in pkgutil.iter_modules(package.__path__) if not info.name.startswith("_"))


def shelf_page(shelf: str) -> str:
    """Return the page of a shelf with every plugin on it."""
    package = importlib.import_module(f"modelops.{shelf}")
    parts = [prose(package.__doc__), f"Named in {SHELF_PLACES[shelf]}."]
    for name in plugins_of(shelf):
        module = importlib.import_module(f"modelops.{shelf}.{name}")
        parts += [f"## {name.replace('_', '-')}", prose(module.__doc__)]
        if hasattr(module, "NEEDS"):
            parts += [f"**Needs.** {', '.join(module.NEEDS)}."]
        about = "\n\n".join(told_of(module.Params))
        parts += [f"**Parameters.** {prose(about)}", fields_table(module.Params, f"{shelf}.{name}")]
        for inner, record in records_of(module.Params).items():
            parts += [f"### {inner}", prose(record.__doc__), fields_table(record)]
    return page(SHELF_TITLES[shelf], *parts)


# --- errors -----------------------------------------------------------------------------------------------------------


def errors_page() -> str:
    """Return the page of all error codes."""
    rows = []
    for code, entry in error_codes().items():
        exits = ", ".join(str(int(Exit[name])) for name in sorted(entry.exits, key=lambda name: Exit[name]))
        messages = "; ".join(list(entry.messages)[:3])
        rows.append((f"`{code}`", exits, messages, ", ".join(f"`{module}`" for module in sorted(entry.modules))))
    return page(
        "Error codes",
        "Every error is one sentence followed by its code in brackets, with a place and a hint where there are any. "
        "Codes are stable; sentences may change. An ellipsis stands for what is filled in. The exit code is listed "
        "where the code that raises the error states it; problems that are collected and raised together end with "
        "[3](exit-codes.md). The server answers some of them over HTTP instead.",
        table(("code", "exit", "says", "raised in"), rows),
    )


def exits_page() -> str:
    """Return the page of the exit codes."""
    rows = [(f"`{int(exit)}`", exit.name, *EXIT_MEANINGS[exit]) for exit in Exit]
    return page("Exit codes", table(("code", "name", "meaning", "what it says to you"), rows))


def described() -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield every record on a page with the name by which meanings.yaml knows it."""
    for model in KINDS.values():
        yield from ((record.__name__, record) for record in (model, *records_of(model).values()))
    for shelf in SHELVES:
        for name in plugins_of(shelf):
            params = importlib.import_module(f"modelops.{shelf}.{name}").Params
            yield f"{shelf}.{name}", params
            yield from records_of(params).items()


def unexplained() -> list[str]:
    """Return the fields without a meaning, and the meanings without a field."""
    fields: dict[str, str] = {}
    for record, model in described():
        for name, schema in model.model_json_schema(by_alias=True).get("properties", {}).items():
            fields[f"{record}.{name}"] = meaning(record, name, schema, model)
    return sorted(
        [name for name, text in fields.items() if not text] + [name for name in MEANINGS if name not in fields]
    )


def pages() -> dict[str, str]:
    """Return every generated page by its path below docs/."""
    if wrong := unexplained():
        raise SystemExit(f"docs/meanings.yaml: no meaning for a field, or no field for a meaning: {', '.join(wrong)}")
    found = {
        "reference/cli.md": cli_page(),
        "reference/errors.md": errors_page(),
        "reference/exit-codes.md": exits_page(),
        "reference/open_inference.proto": proto(),
    }
    found["explanation/attacks.md"] = attacks_page()
    found["explanation/threats.md"] = threats_page()
    found["reference/kinds/README.md"] = kinds_page()
    found |= {f"reference/kinds/{kind}.md": kind_page(kind) for kind in KINDS}
    found |= {f"reference/shelves/{shelf}.md": shelf_page(shelf) for shelf in SHELVES}
    return found


def main() -> int:
    """Write what differs, or only name it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 when a page is out of date")
    check = parser.parse_args().check
    wanted = pages()
    present = {path.relative_to(DOCS).as_posix() for path in (DOCS / "reference").rglob("*.md")}
    present |= {path for path in wanted if (DOCS / path).is_file()}
    stale = [
        path
        for path, text in wanted.items()
        if path not in present or (DOCS / path).read_text(encoding="utf-8") != text
    ]
    extra = sorted(present - wanted.keys() - KEPT)
    for path in [*stale, *extra]:
        print(f"{'out of date' if path in wanted else 'left over'}: docs/{path}" if check else f"docs/{path}")
        if not check and path in wanted:
            (DOCS / path).parent.mkdir(parents=True, exist_ok=True)
            (DOCS / path).write_text(wanted[path], encoding="utf-8")
        elif not check:
            (DOCS / path).unlink()
    if check and (stale or extra):
        print("run: python docs/generate.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
