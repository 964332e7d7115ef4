"""Values by their keys' types: the library that reads them, its errors in our words."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar

from launch.errors import InputError
from launch.options.bounds import check_values
from launch.options.fields import MarkedField
from launch.options.keys import check_section, describe, fields_of

C = TypeVar("C")


def read_section(path: Path, name: str, config_type: type[C]) -> C:
    """One section of a recipe that has a file of its own, checked as in a recipe; its keys stand at the file's top."""
    from jsonargparse import ArgumentParser  # here, and YAML: they take time that `kinrec --help` need not pay

    from launch.options.recipe_text import read_recipe

    text = read_recipe(path)
    known = fields_of({name: config_type})
    parser = ArgumentParser(exit_on_error=False, default_env=False, parser_mode="yaml")
    parser.add_class_arguments(config_type, name)
    try:
        check_section(text, config_type, name, known)
        check_values(flat(text, f"{name}."))
        built: C = parser.instantiate(quietly(lambda: parser.parse_object({name: text}), known))[name]
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
    return built


def flat(text: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:  # Any: plain YAML values
    """Every value of nested sections by its dotted name."""
    for key, value in text.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def quietly(parse: Callable[[], Any], known: Mapping[str, MarkedField]) -> Any:  # Any: a namespace of jsonargparse
    """What `parse` gives; the library's errors in our words."""
    try:
        with redirect_stderr(StringIO()):
            return parse()
    except InputError:
        raise
    except Exception as error:  # jsonargparse raises argparse's and its own errors, by version
        raise InputError(_readable(str(error), known)) from error


def _readable(message: str, known: Mapping[str, MarkedField]) -> str:
    """jsonargparse's several lines as one, the dotted key first."""
    line = " ".join(message.split())
    wrong = re.match(r'Parser key "([\w.]+)": (.*)', line)
    if not wrong:
        return line[:500]
    name, why = wrong.groups()
    given = re.search(r"(?:Got value:|Given value:|value of type \S+:) (.*?)(?: - | Given value type:|$)", why)
    if given is None or name not in known:
        return f"{name}: {why[:400]}"
    return f"{name} must be {describe(known[name].type)}, got {given[1][:200]}"
