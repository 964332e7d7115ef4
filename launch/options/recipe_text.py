"""Read a recipe's YAML as plain values, strictly: what could be read in two ways, or for ever, is refused by name."""

import stat
from pathlib import Path
from typing import Any

import yaml

from launch.errors import InputError, first_line

MOST_BYTES = 1 << 20
MERGE = "tag:yaml.org,2002:merge"
TIMESTAMP = "tag:yaml.org,2002:timestamp"
NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
TEXT = "tag:yaml.org,2002:str"


class RecipeLoader(yaml.SafeLoader):
    """Safe; a date or a time of day stays the text that it was written as; no aliases, which may nest without end."""

    yaml_implicit_resolvers = {  # noqa: RUF012  typed by its base
        first: [(tag, pattern) for tag, pattern in resolvers if tag != TIMESTAMP]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def resolve(self, kind: type[yaml.Node], value: str | None, implicit: Any) -> str:  # Any: YAML's own pair of flags
        """The type of a value: 12:30:00 is not the number 45000 of base 60."""
        tag: str = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]  # types-PyYAML
        return TEXT if tag in NUMBERS and value is not None and ":" in value else tag

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """The next node; an alias is refused."""
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]  # types-PyYAML leaves it untyped
            raise InputError(f"line {event.start_mark.line + 1}: *{event.anchor}: no aliases; write the value out")
        return super().compose_node(parent, index)


def read_recipe(path: Path) -> dict[str, Any]:  # Any: plain YAML values
    """A recipe as it is written; InputError names the file and the key or line that cannot be read."""
    text = _read_text(path)
    try:
        loader = RecipeLoader(text)
        node = loader.get_single_node()
        if node is not None:
            _check_keys(node, "")
        values = None if node is None else loader.construct_document(node)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except RecursionError as error:
        raise InputError(f"{path}: not a recipe: nested without end") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a number of thousands of digits
        raise InputError(f"{path}: not valid YAML: {' '.join(str(error).split())[:300]}") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: a recipe is a mapping of sections, found {type(values).__name__}")
    return values


def _read_text(path: Path) -> str:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
            raise InputError(f"{path}: a recipe is a regular file; this is a folder, a pipe or a device")
        with path.open(encoding="utf-8") as file:
            text = file.read(MOST_BYTES + 1)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: cannot read the recipe: not UTF-8 text ({first_line(error)})") from error
    except OSError as error:
        raise InputError(f"{path}: cannot read the recipe: {error.strerror or error}") from error
    if len(text) > MOST_BYTES:
        raise InputError(f"{path}: more than {MOST_BYTES} characters; not a recipe")
    return text


def _check_keys(node: yaml.Node, name: str) -> None:
    """Keys are words, each once in its mapping."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check_keys(item, name)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: dict[str, int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode) or key.tag == MERGE:
            raise InputError(f"line {line}: a key of {name or 'the recipe'} must be a plain word")
        dotted = f"{name}.{key.value}" if name else str(key.value)
        if key.value in seen:
            raise InputError(f"{dotted} is given twice, in lines {seen[key.value]} and {line}; keep one")
        seen[key.value] = line
        _check_keys(value, dotted)
