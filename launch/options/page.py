"""docs/recipe.md: every key of a recipe, out of the configurations' own types, defaults and docstrings.

python -m launch.options.page > docs/recipe.md
"""

import ast
import dataclasses
import inspect
import sys
import textwrap
from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from launch.config import OF_NO_STAGE, config_class, presets_of
from launch.options.fields import REQUIRED, Mark, default_of
from launch.stages import STAGES

HEAD = """\
# Every key of a recipe

Written by `python -m launch.options.page` out of the code; a test keeps it current. A recipe is a YAML mapping: `name`
(of the run, and of its folder `runs/NAME`), `seed` (default 1), and the sections below, each optional. On the
command line the same keys are `--section.key=value`.

`where_installed` holds, for packages by the names under which Python imports them, sections whose keys are laid over
the recipe's own where the package is there, below what the command line says: `where_installed: {package: {section:
{key: value}}}`. They are checked where it is not, too. A run's own recipe.yaml has what came of it, also where `kinrec
submit` wrote it on another machine; without the package the same recipe is another one.

*Decides* says whether a key decides the result. A stage runs again when one of those changes; a key that does not
decide may change at any time, also before a killed run is resumed. A key that came after a run counts there as its
default.
"""
TABLE = "| key | type | default | decides | meaning |\n|---|---|---|---|---|"


def main() -> None:
    """Print the page."""
    sys.stdout.write(render())


def render() -> str:
    """The page as Markdown."""
    parts = [HEAD.rstrip("\n")]
    for name, config in OF_NO_STAGE.items():
        parts += ["", f"## {name}\n", _first_line(config), "", TABLE, *_rows(config, f"{name}.")]
    for stage in STAGES:
        config = config_class(stage.config)
        parts += ["", f"## {stage.section}\n", f"Stage `{stage.name}`. {_first_line(config)}", "", TABLE]
        parts += _rows(config, f"{stage.section}.", next(iter(presets_of(stage).values()), REQUIRED))
    return "\n".join(parts) + "\n"


def field_docs(config_type: type) -> dict[str, str]:
    """The docstring under each field of a dataclass, on one line; bases first."""
    docs: dict[str, str] = {}
    for owner in reversed([base for base in config_type.__mro__ if dataclasses.is_dataclass(base)]):
        body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, below in zip(body.body, body.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and _is_text(below):
                docs[field.target.id] = " ".join(ast.literal_eval(below.value).split())  # type: ignore[attr-defined]  # _is_text saw it
    return docs


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _rows(
    config_type: type, prefix: str, default: Any = REQUIRED, told: set[tuple[type, str]] | None = None
) -> Iterator[str]:
    """A line of the table for every field, those of configurations inside included.

    Args:
        default: a configuration (therefore Any), or REQUIRED.
        told: fields, by the class that defines them, that this table has shown already; not shown again.
    """
    hints, docs = get_type_hints(config_type, include_extras=True), field_docs(config_type)
    told = set() if told is None else told
    for field in dataclasses.fields(config_type):
        owner = next(
            base for base in reversed(config_type.__mro__) if field.name in vars(base).get("__annotations__", ())
        )
        if (owner, field.name) in told:
            continue
        told.add((owner, field.name))
        hint, key = hints[field.name], f"{prefix}{field.name}"
        value = default_of(field) if default is REQUIRED else getattr(default, field.name)
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            yield f"| **{key}** | | | | {_cell(docs.get(field.name, _first_line(hint)))} |"
            yield from _rows(hint, f"{key}.", value, told)
            continue
        plain, *extras = get_args(hint) if hasattr(hint, "__metadata__") else (hint,)
        marks = [extra for extra in extras if isinstance(extra, Mark)]
        decides = "no" if marks and not marks[0].decides else "yes" if marks else "no" if prefix == "launch." else ""
        cells = (f"`{key}`", _type(plain), _value(value), decides, docs.get(field.name, ""))
        yield f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _type(hint: Any) -> str:  # Any: a form of typing
    """A type as a reader of YAML says it."""
    if hint is NoneType:
        return "null"
    arguments = get_args(hint)
    if get_origin(hint) is Literal:
        return " | ".join(f"`{choice}`" for choice in arguments)
    if get_origin(hint) in (Union, UnionType):
        return " | ".join(_type(part) for part in arguments)
    if get_origin(hint) is list:
        return f"list of {_type(arguments[0])}"
    if get_origin(hint) is not None:
        return str(hint).replace("typing.", "")
    names = {str: "text", int: "integer", float: "number", bool: "true | false"}
    return names.get(hint, getattr(hint, "__name__", str(hint)))


def _value(value: Any) -> str:  # Any: a default
    if value is REQUIRED:
        return "required"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and "\n" in value:
        return "see the source"
    return f"`{value}`" if value not in ("", []) else "empty"


def _first_line(config_type: type) -> str:
    return (inspect.getdoc(config_type) or "").split("\n\n")[0].replace("\n", " ")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    main()
