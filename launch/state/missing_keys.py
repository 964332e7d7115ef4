"""Keys that a record lacks, since the KinRec that wrote it did not have them: they count as their defaults.

What a run did without knowing of a key is what the key's default does now. Whoever adds one sees to that
(docs/extending.md); what cannot be told counts as changed.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

from launch.config import config_class, presets_of
from launch.options.fields import deciding_defaults
from launch.stages import Stage

Plain = dict[str, Any]  # Any: plain values
UNKNOWN = object()
"""In place of a value that is not there."""


def defaults_of(stage: Stage, config: Any) -> Plain:  # Any: a section's dataclass, its plain values, or None
    """What would decide `stage` did its recipe give no key but its preset; empty where nobody can tell."""
    if config is None:
        return {}
    if dataclasses.is_dataclass(config):
        config_type, preset = type(config), getattr(config, "preset", None)
    else:
        config_type, preset = config_class(stage.config), config.get("preset")
    presets = presets_of(stage)
    if not presets:
        return deciding_defaults(config_type)
    if not isinstance(preset, str) or preset not in presets:
        return {}
    return deciding_defaults(config_type, presets[preset])


def with_defaults(values: Any, defaults: Any) -> Any:  # Any: plain JSON values
    """`values` with the keys that they lack."""
    if not isinstance(values, dict) or not isinstance(defaults, dict):
        return values
    inside = {key: with_defaults(values[key], default) for key, default in defaults.items() if key in values}
    return {**defaults, **values, **inside}


def differences(was: Any, now: Any, name: str, *, default: Any = UNKNOWN) -> Iterator[str]:  # Any: plain JSON values
    """Every difference of a record's values to those of now, in words that begin with the key's dotted name.

    Args:
        default: what a value that `was` lacks counts as.
    """
    defaults = default if isinstance(default, dict) else {}
    inside = {} if was is UNKNOWN and defaults else was
    if isinstance(inside, dict) and isinstance(now, dict):
        for key in sorted({*inside, *now}):
            was_there, counts_as = inside.get(key, UNKNOWN), defaults.get(key, UNKNOWN)
            yield from differences(was_there, now.get(key), f"{name}.{key}", default=counts_as)
    elif was is not UNKNOWN:
        if was != now:
            yield f"{name} was {was!r}, now {now!r}"
    elif default is UNKNOWN:
        if now is not None:
            yield f"{name} was not known then, now {now!r}"
    elif default != now:
        yield f"{name} was not known then (counts as {default!r}), now {now!r}"
