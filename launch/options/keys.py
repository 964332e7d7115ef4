"""A recipe's keys against the sections' fields: every key known, every section a mapping, null only where it may be."""

import dataclasses
import difflib
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from launch.errors import InputError
from launch.options.fields import MarkedField, walk

REMOVED = {
    "pair.llm_attributes.allow_download": "was removed: KinRec downloads nothing; fetch the model yourself and give "
    "its folder as pair.llm_attributes.model",
}
"""Keys of older recipes, and why they are no more."""

GROWN = {"retrieval.index": "; what it said in older recipes, faiss or torch, is retrieval.index.backend now"}
"""Sections that were a single value once."""


def fields_of(sections: Mapping[str, type]) -> dict[str, MarkedField]:
    """Every field of every section by its dotted name."""
    return {field.name: field for name, config in sections.items() for field in walk(config, f"{name}.")}


def check_section(given: object, config_type: type, name: str, known: Mapping[str, MarkedField]) -> None:
    """Refuse, by its dotted name, a key that `config_type` has not, and a section that is no mapping."""
    if given is None:
        raise InputError(f"{name} is empty; leave it out or give keys: {name}: {{key: value}}")
    if not isinstance(given, dict):
        raise InputError(f"{name} must hold keys and values, got {type(given).__name__}{GROWN.get(name, '')}")
    hints = get_type_hints(config_type)
    names = {field.name for field in dataclasses.fields(config_type)}
    for key, value in given.items():
        dotted = f"{name}.{key}"
        if key not in names:
            raise unknown_key(dotted, known)
        if dataclasses.is_dataclass(hints[key]):
            check_section(value, hints[key], dotted, known)
        else:
            check_null(dotted, value, known)


def check_null(name: str, value: object, known: Mapping[str, MarkedField]) -> None:
    """Refuse null for a field that has no such choice; the library that parses types would let it pass."""
    if value is None and type(None) not in get_args(known[name].type):
        raise InputError(f"{name} must not be null; it is {describe(known[name].type)}")


def unknown_key(name: str, known: Mapping[str, MarkedField]) -> InputError:
    """The refusal of a key, with what it may have been meant for: the same word elsewhere in the section, or nearly."""
    if name in REMOVED:
        return InputError(f"unknown key {name}: it {REMOVED[name]}")
    section, _, last = name.rpartition(".")
    top = section.partition(".")[0]
    same = [other for other in known if other.startswith(f"{top}.") and other.rpartition(".")[2] == last]
    near = same or difflib.get_close_matches(name, list(known), n=1, cutoff=0.8)
    return InputError(f"unknown key {name}" + (f"; did you mean {' or '.join(near)}?" if near else ""))


def describe(hint: Any) -> str:  # Any: a type or a form of typing
    """A field's type in a reader's words."""
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(describe(part) for part in get_args(hint))
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(str(choice) for choice in get_args(hint))
    if get_origin(hint) is list:
        return f"a list of {describe(get_args(hint)[0])}"
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "null"}
    return words.get(hint, str(hint))
