"""What can be said of a spec that is not valid: its right values stand, the others are of unknown value.

With it, the references of a file are checked together with the file itself, so that one pass reports both.
"""

from __future__ import annotations

from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

__all__ = ["Unknown", "partial"]


class Unknown(str):
    """A value that was not readable: empty in whatever way it is asked; not equal, unequal, below or above any."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __getattribute__(self, name: str) -> Any:
        return object.__getattribute__(self, name) if name.startswith("__") else self

    def __call__(self, *_: object) -> Unknown:  # noqa: D102 - any method of it
        return self

    def __eq__(self, other: object) -> bool:
        return False

    def __ne__(self, other: object) -> bool:
        return False

    def __lt__(self, other: object) -> bool:
        return False

    def __le__(self, other: object) -> bool:
        return False

    def __gt__(self, other: object) -> bool:
        return False

    def __ge__(self, other: object) -> bool:
        return False


def partial(model: type[BaseModel], value: Any) -> Any:
    """Return a record of ``model`` from camelCase keys in which each value that is not valid is ``Unknown``."""
    if not isinstance(value, dict):
        return Unknown()
    fields = {}
    for name, field in model.model_fields.items():
        key = field.alias or name
        if key in value:
            fields[name] = _read(field, value[key])
        elif field.is_required():
            fields[name] = Unknown()
    return model.model_construct(**fields)


def _read(field: FieldInfo, value: Any) -> Any:
    annotation: Any = field.annotation
    if field.metadata:
        annotation = Annotated[(annotation, *field.metadata)]
    return _valid(annotation, field.annotation, value)


def _valid(annotation: Any, bare: Any, value: Any) -> Any:
    try:
        is_model = isinstance(bare, type) and issubclass(bare, BaseModel)
        adapter = TypeAdapter(annotation, config=None if is_model else {"strict": True, "allow_inf_nan": False})
        return adapter.validate_python(value, by_alias=True, by_name=False)
    except ValidationError:
        return _parts(bare, value)


def _parts(bare: Any, value: Any) -> Any:
    """Return what is valid within a record or a list of records; anything else is unknown as a whole."""
    if isinstance(bare, type) and issubclass(bare, BaseModel):
        return partial(bare, value)
    arguments = get_args(bare)
    if get_origin(bare) is tuple:
        listed = isinstance(value, tuple) and arguments[1:] == (Ellipsis,)
        return tuple(_valid(arguments[0], _bare(arguments[0]), item) for item in value) if listed else Unknown()
    optional = [one for one in arguments if isinstance(one, type) and issubclass(one, BaseModel)]
    return partial(optional[0], value) if len(optional) == 1 and isinstance(value, dict) else Unknown()


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
