"""Marks of a configuration's fields: which decide a result, and which only say how it is reached.

    lr: Decides[float] = 2e-5
    log_every: Means[int] = 10

A change of what decides makes a stage stale and its resume state useless; a change of means touches nothing. A field
that holds another configuration has no mark: the fields in there have theirs.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

T = TypeVar("T")
REQUIRED = object()
"""The default of a field that has none."""


@dataclass(frozen=True)
class Mark:
    """Whether a field decides the result."""

    decides: bool

    def __repr__(self) -> str:
        return "decides" if self.decides else "means"


Decides = Annotated[T, Mark(True)]
Means = Annotated[T, Mark(False)]


@dataclass(frozen=True)
class MarkedField:
    """One field of a configuration, found by walking through those inside it."""

    name: str
    """Dotted, from the section on."""
    type: Any  # Any: a type or a form of typing
    mark: Mark | None
    """None: somebody forgot it; `deciding` takes it to decide."""


def walk(config_type: type, prefix: str = "") -> Iterator[MarkedField]:
    """Every field of a configuration and of those inside it, in order."""
    hints = get_type_hints(config_type, include_extras=True)
    for field in dataclasses.fields(config_type):
        name, hint = f"{prefix}{field.name}", hints[field.name]
        if dataclasses.is_dataclass(hint):
            assert isinstance(hint, type)
            yield from walk(hint, f"{name}.")
        else:
            plain, *extras = get_args(hint) if hasattr(hint, "__metadata__") else (hint,)
            yield MarkedField(name, plain, next((extra for extra in extras if isinstance(extra, Mark)), None))


def values(config: object, prefix: str = "") -> Iterator[tuple[str, Any]]:  # Any: whatever a field holds
    """Every field's dotted name and value, through the configurations inside."""
    assert dataclasses.is_dataclass(config)
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from values(value, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", value


def deciding(config: object) -> dict[str, Any]:  # Any: plain values
    """What of a configuration decides the result, as plain nested values."""
    assert dataclasses.is_dataclass(config)
    means = {field.name for field in walk(type(config)) if field.mark is not None and not field.mark.decides}
    nested: dict[str, Any] = {}
    for name, value in values(config):
        if name in means:
            continue
        *sections, last = name.split(".")
        inside = nested
        for section in sections:
            inside = inside.setdefault(section, {})
        inside[last] = value
    return nested


def default_of(field: "dataclasses.Field[Any]") -> Any:  # Any: whatever a field holds
    """A field's default, or REQUIRED."""
    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return REQUIRED


def deciding_defaults(config_type: type, preset: object = REQUIRED) -> dict[str, Any]:  # Any: plain values
    """What of a configuration decides where nothing is given, as `deciding` has it.

    Left out is what cannot be told: a field that must be given, and one that may hold one of several configurations.

    Args:
        preset: whose values are the defaults, in place of the fields' own.
    """
    hints = get_type_hints(config_type, include_extras=True)
    nested: dict[str, Any] = {}
    for field in dataclasses.fields(config_type):
        hint = hints[field.name]
        value = default_of(field) if preset is REQUIRED else getattr(preset, field.name)
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            inside = deciding_defaults(hint, value)
            nested |= {field.name: inside} if inside else {}
        elif Mark(False) not in get_args(hint) and value is not REQUIRED and not dataclasses.is_dataclass(value):
            nested[field.name] = value
    return nested
