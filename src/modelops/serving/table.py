"""The routing table in memory: loaded arms by model, and every path that is answered."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter

import numpy as np
from pydantic import ValidationError

from modelops.artifacts import Artifact, Outputs, Predictor, load_predictor, open_artifact
from modelops.artifacts.package import SMOKE
from modelops.digests import digest_bytes
from modelops.errors import Exit, ModelOpsError, failure
from modelops.reasons import Explainer, explainer_of
from modelops.serving.asking.blame import reach_of
from modelops.serving.assignment import assign
from modelops.serving.guard import Guard, Sight, guard
from modelops.serving.inputs import Binder, Bound
from modelops.serving.metrics import ArmCounts, ServerMetrics
from modelops.serving.outputs import Encoder
from modelops.serving.protocol import InferRequest, Tensor
from modelops.serving.trial import TrialLimits, try_load
from modelops.spec.routing import Route, RouteArm, RoutingTable
from modelops.stores import Store

__all__ = ["ArmStatus", "Endpoint", "LoadedArm", "LoadedModel", "LoadedTable", "Loader", "paths_of"]


@dataclass(slots=True)
class LoadedArm:
    """One release that answers; ``weight`` is the share of the entities that it gets.

    ``seconds`` is a moving average of what a small request costs; it may be answered ``inline``, on the event loop.
    """

    name: str
    release: int
    digest: str
    weight: float
    predictor: Predictor
    binder: Binder
    encoder: Encoder
    counts: ArmCounts
    shadow: float = 0.0
    reach: Mapping[str, float] = field(default_factory=dict)
    explainer: Explainer | str = "nothing is known of the release"
    seconds: float = 0.0
    version: str = field(init=False)
    inline: bool = field(init=False)

    def __post_init__(self) -> None:
        self.version = str(self.release)
        # What is on trial may hang, and must not take stable with it; what ONNX runs was bounded when it was built.
        own = self.name == "stable" or self.predictor.engine == "onnx"
        self.inline = own and not self.predictor.apart

    def predict(self, bound: Bound) -> tuple[Outputs, Sequence[float], Sequence[str | None]]:
        """Return outputs with scores and labels to log; a prediction that is not finite is a failure."""
        if bound.matrix is None:
            outputs = self.predictor.predict_columns(bound.columns)
        else:
            outputs = self.predictor.predict_matrix(bound.matrix)
        scores, labels = self.encoder.logged(outputs)
        if not (math.isfinite(scores[0]) if len(scores) == 1 else np.isfinite(scores).all()):
            raise ValueError("the prediction is not a finite number")
        return outputs, scores, labels


@dataclass(frozen=True, slots=True)
class ArmStatus:
    """What /modelops/status says about one arm."""

    model: str
    arm: str
    release: int
    digest: str
    ready: bool
    error: str | None
    engine: str | None


@dataclass(frozen=True)
class LoadedModel:
    """A model and its loaded arms; without arms it is known but not ready."""

    name: str
    route: Route
    arms: tuple[LoadedArm, ...]
    known: frozenset[str] = frozenset()
    only: LoadedArm | None = None
    shadows: tuple[LoadedArm, ...] = ()

    def choose(self, entity: str) -> LoadedArm | None:
        """Return the arm that answers an entity.

        An arm that could not be loaded is stood in for by stable, and by nobody when it is stable itself: no other arm
        may answer more than its share.
        """
        if self.only is not None:
            return self.only
        name = assign(self.route.salt, [(arm.name, arm.weight) for arm in self.route.arms], entity)
        stable = None
        for arm in self.arms:
            if arm.name == name:
                return arm
            if arm.name == "stable":
                stable = arm
        return stable

    def of_release(self, release: int) -> LoadedArm | None:
        """Return the arm that holds a release."""
        return next((arm for arm in self.arms if arm.release == release), None)

    @property
    def declared(self) -> Mapping[str, str]:
        """Datatypes of the inputs of the stable arm, in order."""
        main = self.main
        return main.binder.declared if main is not None else {}

    @property
    def ready(self) -> bool:
        """Whether somebody answers every entity: stable, or else all arms that have a weight."""
        loaded = {arm.name for arm in self.arms}
        return "stable" in loaded or loaded >= {arm.name for arm in self.route.arms if arm.weight > 0}

    @property
    def main(self) -> LoadedArm | None:
        """The stable arm, or the only one."""
        return next((arm for arm in self.arms if arm.name == "stable"), self.arms[0] if self.arms else None)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What a path means: the kind of answer, for which model and which pinned release."""

    kind: str
    model: str = ""
    release: int | None = None


@dataclass(frozen=True)
class LoadedTable:
    """A routing table in effect; ``digest`` is the SHA-256 of its file, None before the first is loaded whole."""

    digest: str | None = None
    environment: str = ""
    models: Mapping[str, LoadedModel] = field(default_factory=dict)
    paths: Mapping[bytes, Endpoint] = field(default_factory=dict)
    arms: tuple[ArmStatus, ...] = ()
    guard: Guard | None = None
    known: bool = True
    """Whether any table was read: before that nobody knows who may ask for what."""
    _seen: dict[frozenset[str], LoadedTable] = field(default_factory=dict, init=False, repr=False, compare=False)

    def seen(self, sight: Sight) -> LoadedTable:
        """Return the table as if it held nothing but what one caller may know of."""
        if sight.models is None:
            return self
        known = self._seen.get(sight.models)
        if known is None:
            models = {name: model for name, model in self.models.items() if sight.has(name)}
            arms = tuple(arm for arm in self.arms if sight.has(arm.model))
            known = self._seen[sight.models] = replace(self, models=models, paths=paths_of(models), arms=arms)
        return known

    @property
    def ready(self) -> bool:
        """Whether every model of the table answers all its callers."""
        known = self.digest is not None or bool(self.models)
        return known and all(model.ready for model in self.models.values())


_SERVER_PATHS = {
    "/v2": "server",
    "/v2/health/live": "live",
    "/v2/health/ready": "ready",
    "/v2/repository/index": "index",
    "/modelops/status": "status",
    "/metrics": "metrics",
    "/openapi.json": "openapi-of-all",
    "/docs": "docs-of-all",
}


_SUFFIXES = {
    "": "model",
    "/ready": "model-ready",
    "/infer": "infer",
    "/predict": "predict",
    "/stats": "stats",
    "/config": "config",
}


def paths_of(models: Mapping[str, LoadedModel]) -> dict[bytes, Endpoint]:
    """Return every path that is answered, with and without a final slash.

    A model name may be written with plain slashes or with %2F. Where plain slashes are ambiguous the shorter model
    name wins; %2F always means the model.
    """
    paths: dict[str, Endpoint] = {path: Endpoint(kind) for path, kind in _SERVER_PATHS.items()}
    for name, model in sorted(models.items(), key=lambda item: (len(item[0]), item[0])):
        for spelled in (name.replace("/", "%2F"), name.replace("/", "%2f"), name):
            prefix = f"/v2/models/{spelled}"
            for suffix, endpoint in _model_paths(model):
                paths.setdefault(prefix + suffix, endpoint)
            for verb in ("load", "unload"):
                paths.setdefault(f"/v2/repository/models/{spelled}/{verb}", Endpoint("load", name))
    paths.setdefault("/v2/models/stats", Endpoint("stats"))
    if len(models) == 1:
        # The path of servers that serve one model.
        paths["/invocations"] = Endpoint("invocations", next(iter(models)))
    both = [(f"{path}{slash}", endpoint) for path, endpoint in paths.items() for slash in ("", "/")]
    return {path.encode(): endpoint for path, endpoint in both}


def _model_paths(model: LoadedModel) -> Iterator[tuple[str, Endpoint]]:
    for version, release in (("", None), *((f"/versions/{arm.release}", arm.release) for arm in model.arms)):
        for suffix, kind in _SUFFIXES.items():
            yield version + suffix, Endpoint(kind, model.name, release)
    yield "/feedback", Endpoint("feedback", model.name)
    yield "/openapi.json", Endpoint("openapi", model.name)
    yield "/docs", Endpoint("docs", model.name)


class Loader:
    """Loads routing tables; artifacts stay in memory while the newest or the previous table needs them."""

    def __init__(self, store: Store, metrics: ServerMetrics, trial: TrialLimits, shared: Path | None = None) -> None:
        self._trial = trial
        self._shared = shared
        self._store = store
        self._metrics = metrics
        self._predictors: dict[str, tuple[Predictor, list[InferRequest], Explainer | str]] = {}
        self._previous: frozenset[str] = frozenset()
        self._data = b""
        self._failed: dict[str, ModelOpsError] = {}
        self._guard: Guard | None = None

    def load(self, data: bytes, *, only_stable: bool = False) -> tuple[LoadedTable, ModelOpsError | None]:
        """Load what a routing table names, and say what of it could not be loaded.

        The table holds the arms that did load, so that the caller can choose between it and the one in effect. With
        ``only_stable`` it holds nothing else and has no digest: it answers until the trials of the others are over.
        """
        if data != self._data:
            self._data = data
            self._failed.clear()
        try:
            table = RoutingTable.model_validate_json(data)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise failure("bad-routing-table", f"the routing table is not valid: {where}: {first['msg']}") from None
        states: list[ArmStatus] = []
        problems: list[ModelOpsError] = []
        models: dict[str, LoadedModel] = {}
        for name, route in table.models.items():
            arms: list[LoadedArm] = []
            for arm in route.arms:
                if only_stable and arm.name != "stable":
                    continue
                try:
                    loaded = self._arm(name, arm)
                except ModelOpsError as error:
                    problems.append(error)
                    states.append(_status(name, arm, error.first.message))
                else:
                    arms.append(loaded)
                    states.append(_status(name, arm, None, loaded.predictor.engine))
            models[name] = _model(name, route, tuple(arms))
            self._metrics.model(name)
        digest = None if only_stable else digest_bytes(data)
        self._guard = guard(table.keys, self._guard, shared=self._shared)
        loaded_table = LoadedTable(digest, table.environment, models, paths_of(models), tuple(states), self._guard)
        return loaded_table, (_joined(problems) if problems else None)

    def keep(self, table: LoadedTable) -> None:
        """Forget artifacts that neither this table nor the one before it needs."""
        needed = frozenset(arm.digest for arm in table.arms)
        self._predictors = {
            digest: loaded for digest, loaded in self._predictors.items() if digest in needed | self._previous
        }
        self._previous = needed

    def _try(self, artifact: Artifact) -> None:
        """Try an artifact, but not again and again one that has failed while the table stays as it is."""
        known = self._failed.get(artifact.digest)
        if known is not None:
            raise ModelOpsError(*known.problems, exit=known.exit)
        try:
            try_load(artifact, self._trial)
        except ModelOpsError as error:
            self._failed[artifact.digest] = error
            raise

    def _arm(self, model: str, arm: RouteArm) -> LoadedArm:
        if arm.digest not in self._predictors:
            artifact = open_artifact(self._store, arm.digest)
            if arm.name != "stable" or artifact.foreign:
                # Stable answered before, maybe in another process; anything else may crash this one, and so may files
                # that only their library can read.
                self._try(artifact)
            predictor = load_predictor(artifact)
            recorded = _recorded(predictor, artifact.files[SMOKE])
            self._predictors[arm.digest] = predictor, recorded, explainer_of(artifact, predictor)
        predictor, recorded, explainer = self._predictors[arm.digest]
        signature = predictor.signature
        if signature.model != model:
            raise failure(
                "wrong-model",
                f"artifact {arm.digest} is of the model {signature.model!r}, the route of {model!r} names it",
                exit=Exit.WORLD,
            )
        counts = self._metrics.arm(model, arm.release, arm.name)
        binder, encoder = Binder(signature, predictor.takes_matrix), Encoder(signature)
        loaded = LoadedArm(
            arm.name, arm.release, arm.digest, arm.weight, predictor, binder, encoder, counts, arm.shadow,
            reach_of(recorded), explainer,
        )  # fmt: skip
        _warm(loaded, recorded)
        return loaded


def _recorded(predictor: Predictor, smoke: bytes) -> list[InferRequest]:
    """Return one request for each row that the artifact carries."""
    columns = json.loads(smoke)["columns"]
    described = [(each["name"], each["datatype"]) for each in Binder(predictor.signature, False).metadata()]
    rows = zip(*(columns[name] for name, _ in described), strict=True)
    return [
        InferRequest(
            [Tensor(name, [1], datatype, [value]) for (name, datatype), value in zip(described, row, strict=True)]
        )
        for row in rows
    ]


def _warm(arm: LoadedArm, recorded: Sequence[InferRequest]) -> None:
    """Predict the recorded rows one by one, so that the first callers do not pay for it and the cost is known."""
    seconds = []
    for request in [*recorded, *recorded]:
        bound = arm.binder.bind(request, arm.binder.names)
        before = perf_counter()
        arm.encoder.encode({}, request, arm.predict(bound)[0])
        seconds.append(perf_counter() - before)
    arm.seconds = min(seconds, default=0.0)


def _model(name: str, route: Route, arms: tuple[LoadedArm, ...]) -> LoadedModel:
    known = frozenset(feature for arm in arms for feature in arm.binder.names)
    for arm in arms:
        if arm.name == "stable":
            loaded = {each.name for each in arms}
            arm.weight += sum(each.weight for each in route.arms if each.name not in loaded)
    takers = [arm for arm in route.arms if arm.weight > 0]
    only = next((arm for arm in arms if len(takers) == 1 and arm.name == takers[0].name), None)
    return LoadedModel(name, route, arms, known, only, tuple(arm for arm in arms if arm.shadow > 0))


def _status(model: str, arm: RouteArm, error: str | None, engine: str | None = None) -> ArmStatus:
    return ArmStatus(model, arm.name, arm.release, arm.digest, error is None, error, engine)


def _joined(problems: list[ModelOpsError]) -> ModelOpsError:
    return ModelOpsError(*(problem for error in problems for problem in error.problems), exit=problems[0].exit)
