"""Only rows that trained neither the candidate nor the stable release tell which is better."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from modelops.artifacts import BuildRecord
from modelops.errors import ModelOpsError
from modelops.spec.kinds.release import ReleaseSpec
from modelops.training import divided
from modelops.training.building import Divided
from modelops.training.unseen import unseen
from training.building_blocks import Workshop, changed, model, people, snapshot
from training.test_judging import release

Built = tuple[Workshop, BuildRecord]
OTHER = "sha256:" + "7" * 64


def never() -> pa.Table:
    raise AssertionError("the snapshot is read although it is the candidate's own")


def grown(seed: int = 5) -> pa.Table:
    """The rows of the stable release's snapshot, and half as many fresh ones."""
    fresh = people(120, seed)
    return pa.concat_tables([people(), fresh.set_column(0, "id", pa.array([f"q{i}" for i in range(120)]))])


def parts_of(workshop: Workshop, table: pa.Table, **changes: object) -> Divided:
    asked = changed(workshop.request(), model=model(**changes), snapshot=snapshot(table))
    return divided(asked, table)


def trained_ids(workshop: Workshop, record: BuildRecord) -> set[str]:
    parts = workshop.divided()
    assert len(parts.train) == record.rows_train
    return {workshop.table["id"][int(row)].as_py() for row in parts.train}


def found_in(
    built: Built, table: pa.Table, before: Callable[[], pa.Table], **changes: object
) -> tuple[Divided, np.ndarray]:
    workshop, record = built
    parts = parts_of(workshop, table, **changes)
    return parts, unseen(model(**changes).spec, parts, OTHER, release(record), workshop.store, before)


def test_the_same_rows_divided_alike_are_all_unseen(built: Built) -> None:
    """In one snapshot positions tell: with the same split nothing that tests trained, with another seed much did."""
    workshop, record = built
    parts, stable = workshop.divided(), release(record)
    spec = workshop.request().model.spec
    assert unseen(spec, parts, record.data_root, stable, workshop.store, never).all()
    other = parts_of(workshop, workshop.table, training__seed=4)
    found = unseen(spec, other, record.data_root, stable, workshop.store, never)
    train = set(parts.train.tolist())
    assert found.tolist() == [row not in train for row in other.test.tolist()]
    assert 0 < found.sum() < len(found)


@pytest.mark.parametrize("seed", [0, 9])
def test_rows_that_trained_the_stable_release_are_known_by_their_values(built: Built, seed: int) -> None:
    """In a larger snapshot, in any order and under other ids, those that trained it do not count; fresh ones do."""
    table = grown().take(np.random.default_rng(seed).permutation(360))
    renamed = table.set_column(0, "id", pa.array([f"row {at}" for at in range(360)]))
    parts, found = found_in(built, renamed, people)
    seen = trained_ids(*built)
    expected = [table["id"][int(row)].as_py() not in seen for row in parts.test]
    assert found.tolist() == expected
    assert 20 < found.sum() < len(found) - 20


def test_numbers_of_single_precision_are_the_same_rows(built: Built) -> None:
    """A file that stores fewer digits of a number holds the same rows."""
    table = grown()
    single = pa.array(table["amount"].cast(pa.float32()).to_pylist(), pa.float64())
    parts, found = found_in(built, table.set_column(table.column_names.index("amount"), "amount", single), people)
    seen = trained_ids(*built)
    assert found.tolist() == [table["id"][int(row)].as_py() not in seen for row in parts.test]


def coarse(table: pa.Table) -> pa.Table:
    """The same rows, of which almost every one has the values of another."""
    decades = pa.array([round(age, -1) for age in table["age"].to_pylist()])
    amounts = pa.array([None if a is None else float(a > 80) for a in table["amount"].to_pylist()])
    return table.set_column(3, "age", decades).set_column(2, "amount", amounts)


def test_where_values_repeat_ids_tell_rows(built: Built) -> None:
    """Few-valued rows are told by their id; without one, the k-th of equal rows is taken for the k-th."""
    parts, found = found_in(built, coarse(grown()), lambda: coarse(people()))
    seen = trained_ids(*built)
    table = grown()
    expected = [table["id"][int(row)].as_py() not in seen for row in parts.test]
    assert found.tolist() == expected
    _, without = found_in(built, coarse(table), lambda: coarse(people()), data__id=None, data__time=None)
    assert without.tolist() == expected


def test_copies_of_what_trains_the_candidate_do_not_count(built: Built) -> None:
    """A row of the test part that lies in the training part as well has been seen by the candidate."""
    fresh = people(200, 6)
    table = pa.concat_tables([people(), fresh, fresh])
    parts, found = found_in(built, table, people)
    values = list(zip(*(table[name].to_pylist() for name in ("amount", "age", "country")), strict=True))
    train = {values[row] for row in parts.train}
    copied = np.array([values[row] in train for row in parts.test])
    assert copied.any()
    assert not found[copied].any()


def test_without_its_build_or_its_rows_nothing_is_compared(built: Built) -> None:
    """What cannot be told is a reason for no data, and no guess."""
    workshop, record = built
    stable = release(record)

    def gone() -> pa.Table:
        raise ModelOpsError(*_problem("data-missing", "people.parquet of the snapshot is missing"))

    parts, spec = parts_of(workshop, grown()), model().spec
    with pytest.raises(ModelOpsError, match="which rows release 4 was trained on cannot be told: people"):
        unseen(spec, parts, OTHER, stable, workshop.store, gone)
    lost: ReleaseSpec = stable.model_copy(update={"build": "sha256:" + "0" * 64})
    with pytest.raises(ModelOpsError, match=r"cannot be told: .* is not in the store"):
        unseen(spec, parts, OTHER, lost, workshop.store, people)
    with pytest.raises(ModelOpsError, match="was trained on 180 rows"):
        unseen(spec, parts, OTHER, stable, workshop.store, lambda: people(200))


def _problem(code: str, message: str):  # type: ignore[no-untyped-def]
    from modelops.errors import Problem

    return (Problem(code, message),)
