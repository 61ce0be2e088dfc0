"""Where everything lies in a repository: paths both ways. No other module spells one of these paths."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

MODELS = "models/"
POLICIES = "policies/"
STATE = ".modelops"
"""The folder that is never in git."""
SCHEMAS = f"{STATE}/schema"
"""Where the editors' comment in a file looks for the JSON Schema of its kind."""
RELEASE_FILE = "release.yaml"
EVIDENCE_FILE = "evidence.intoto.jsonl"
CARD_FILE = "MODEL_CARD.md"
SIGNATURE_FILE = "model.sigstore.json"
LOCK = "requirements.lock"
"""The environment that models are trained and served in, pinned by hash."""
REQUIREMENTS = "requirements.in"
"""What the models' own code needs of it, by name."""
WORKFLOWS = ".github/"
"""What runs on the forge, with its keys."""
ATTRIBUTES = ".gitattributes"
"""How git shows and merges files."""
CACHE = "__pycache__"
PREDICTIONS = "predictions"
"""The folder of the prediction log in the runtime folder of an environment."""
SAID = "metrics"
"""The folder of what passes say in Prometheus' form in the runtime folder of an environment, a file each."""
RENDERED = ".modelops-rendered.json"
"""Lists what was rendered into a folder; the only file there that nobody applies."""
_OUTSIDE = re.compile(rf"(?:\.\./)+{re.escape(WORKFLOWS)}")
_MADE = re.compile(r"-x[0-9a-f]{12}$")
_MODEL = r"(?P<model>[^/]+(?:/[^/]+){0,3}?)"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the files of one kind lie; ``{model}`` and ``{name}`` in the template stand for what names one of them."""

    template: str

    def parts(self) -> tuple[str, str, str]:
        """Return what every path here begins with, has in its middle, and ends with."""
        top, *middle = self.template.replace("{name}", "{model}").split("{model}")
        return top, middle[0] if len(middle) > 1 else "", middle[-1] if middle else self.template

    def path(self, model: str | None = None, name: str | int | None = None) -> str:
        """Return the path of one file."""
        return self.template.replace("{model}", str(model)).replace("{name}", str(name))

    def parse(self, path: str) -> tuple[str | None, str] | None:
        """Return (model, name) of a file that lies here, None for any other path.

        A file that is named by nothing but its model has the model's name; one of which there is a single one its own.
        """
        found = _pattern(self.template).fullmatch(path)
        if found is None:
            return None
        groups = found.groupdict()
        model = groups.get("model")
        return model, groups.get("name") or model or path.rpartition("/")[2].removesuffix(".yaml")


@cache
def _pattern(template: str) -> re.Pattern[str]:
    text = re.escape(template).replace(re.escape("{model}"), _MODEL).replace(re.escape("{name}"), r"(?P<name>[^/]+)")
    return re.compile(text)


def of_models(name: str) -> Place:
    """Return the place of a kind of which every model has at most one file; what a new kind of models is put at."""
    return Place(f"{MODELS}{{model}}/{name}.yaml")


def policy(name: str) -> Place:
    """Return the place of a policy of which a repository has at most one; what a new kind of policy is put at."""
    return Place(f"{POLICIES}{name}.yaml")


def policies(folder: str) -> Place:
    """Return the place of policies of one kind, each a file of a folder; what a new kind of policy is put at."""
    return Place(f"{POLICIES}{folder}/{{name}}.yaml")


MODEL = Place("models/{model}/model.yaml")
SNAPSHOT = Place("models/{model}/data/{name}.yaml")
SNAPSHOT_SIGNATURE = Place("models/{model}/data/{name}.sigstore.json")
ROLLOUT = Place("models/{model}/rollout.yaml")
MONITOR = Place("models/{model}/monitor.yaml")
DOSSIER = Place("models/{model}/dossier.yaml")
OUTCOMES = Place("models/{model}/outcomes.yaml")
DEPLOYMENT = Place("models/{model}/environments/{name}.yaml")
RELEASE = Place("models/{model}/releases/{name}/release.yaml")
PROMOTION = Place("models/{model}/promotions/{name}.yaml")
PROMOTION_EVIDENCE = Place("models/{model}/promotions/{name}.intoto.jsonl")
INCIDENT = Place("models/{model}/incidents/{name}.md")
PROJECT = Place("policies/project.yaml")
ENVIRONMENT = Place("policies/environments/{name}.yaml")
GATE_POLICY = Place("policies/gates/{name}.yaml")
RULE = Place("policies/rules/{name}.yaml")
WAIVER = Place("policies/waivers/{name}.yaml")
SILENCE = Place("policies/silences/{name}.yaml")
APPROVALS = Place("policies/approvals.yaml")
TRUST = Place("policies/trust.yaml")
TRUST_SIGNATURES = "policies/trust.intoto.jsonl"
"""The signatures of keys under the changes of the trust policy, one a line."""
ACCESS = Place("policies/access/{name}.yaml")
SOURCE = Place("policies/sources/{name}.yaml")

GENERATED = ("releases/", "promotions/", "environments/", "data/", "incidents/")
"""The folders of a model that hold what modelops writes, and no code."""


@dataclass(frozen=True, slots=True, order=True)
class Seat:
    """One model in one environment: the unit that is planned, leased, stalled and healed on its own."""

    model: str
    environment: str

    def __str__(self) -> str:
        return f"{self.model} in {self.environment}"

    @property
    def deployment(self) -> str:
        """The file that says which releases run here."""
        return DEPLOYMENT.path(self.model, self.environment)


@dataclass(frozen=True, slots=True, order=True)
class ReleaseFiles:
    """The files of one release, by their paths in the repository."""

    model: str
    number: int | str

    @property
    def folder(self) -> str:
        """The release's folder, without a trailing slash."""
        return self.release.rpartition("/")[0]

    @property
    def release(self) -> str:
        """The Release itself."""
        return RELEASE.path(self.model, self.number)

    @property
    def evidence(self) -> str:
        """Its signed statements, one a line."""
        return f"{self.folder}/{EVIDENCE_FILE}"

    @property
    def card(self) -> str:
        """Its model card."""
        return f"{self.folder}/{CARD_FILE}"

    @property
    def signature(self) -> str:
        """Its signature in the format of the OpenSSF model-signing tool."""
        return f"{self.folder}/{SIGNATURE_FILE}"


def workflow(name: str, folder: str = "") -> str:
    """Return the path of a workflow from the top of git's repository; ``folder`` is that of the project in it."""
    return f"{WORKFLOWS}workflows/{_of_project(folder)}{name}"


def action(folder: str = "") -> str:
    """Return the folder of the action that installs modelops, from the top of git's repository."""
    return f"{WORKFLOWS}actions/{_of_project(folder) or 'modelops-'}"[:-1]


def _of_project(folder: str) -> str:
    return f"modelops-{folder.replace('/', '-')}-" if folder else ""


def governs_all(path: str) -> bool:
    """Tell whether all models depend on a file that no kind lives at: the lock, the workflows, git's attributes.

    Of the policies, what is no file of a kind counts too: nobody can tell what reads it. Of a larger repository than
    the project all that runs on the forge counts: any workflow of the branch may ask for the keys.
    """
    if path.startswith("../"):
        return _OUTSIDE.match(path) is not None
    return path in (LOCK, ATTRIBUTES) or path.startswith((WORKFLOWS, POLICIES))


def model_folder(model: str) -> str:
    """Return a model's folder, with a trailing slash."""
    return f"{MODELS}{model}/"


def in_model(model: str, relative: str) -> str:
    """Return the path of a file of a model's folder."""
    return model_folder(model) + relative


def promotions_folder(model: str) -> str:
    """Return the folder of a model's promotion records, with a trailing slash."""
    return in_model(model, "promotions/")


def promotion_evidence(path: str) -> str:
    """Return where the signed statements of a promotion lie, given the path of its record."""
    return path.removesuffix(".yaml") + ".intoto.jsonl"


def is_postmortem(path: str) -> bool:
    """Tell whether a file says what happened to a model, which changes nothing of it."""
    return INCIDENT.parse(path) is not None


def is_evidence(path: str) -> bool:
    """Tell whether a file holds signed statements about a release or a promotion."""
    return path.endswith((f"/{EVIDENCE_FILE}", ".intoto.jsonl"))


def promotions_in(records: Iterable[str], environment: str) -> list[str]:
    """Return the names of the records of an environment, the oldest first; a record's name says where it belongs."""
    of_it = (each for each in records if each.rpartition("-")[0] == environment)
    return sorted(filter(_number, of_it), key=_number)


def _number(record: str) -> int:
    """Return the number that a record's name ends with, from 1; 0 for a name that no record has."""
    number = record.rpartition("-")[2]
    return int(number) if number.isdigit() else 0


def promoted(path: str) -> tuple[str, str] | None:
    """Return (model, environment) of a promotion's signed statements, None for any other path."""
    found = PROMOTION_EVIDENCE.parse(path)
    environment, _, number = found[1].rpartition("-") if found else ("", "", "")
    return (str(found[0]), environment) if found and environment and number.isdigit() else None


def release_of(path: str) -> ReleaseFiles | None:
    """Return the release whose folder directly holds a file, None for any other path."""
    folder, _, name = path.rpartition("/")
    found = RELEASE.parse(f"{folder}/{RELEASE_FILE}") if name else None
    return ReleaseFiles(str(found[0]), found[1]) if found else None


def dns_label(name: str, limit: int = 63) -> str:
    """Return a name as one label of DNS, for Kubernetes and others; no two names share one.

    A name that is no label, is too long or looks as if it were made here is cut and ends with its own digest.
    """
    if len(name) <= limit and re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", name) and not _MADE.search(name):
        return name
    words = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[: limit - 14].strip("-") or "x"
    return f"{words}-x{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def slug(model: str) -> str:
    """Return a model's name as one path segment; no two names share one, as names have no underscore."""
    return model.replace("/", "__")
