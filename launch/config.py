"""Recipes: one YAML file a run, one section a stage, every key typed, dotted overrides on the command line.

kinrec run demo --graph.epochs=3 --run_dir=runs/short
"""

import dataclasses
import importlib
import os
import re
from collections.abc import Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from launch.errors import InputError
from launch.options.fields import Means
from launch.stages import STAGES

RECIPES = Path(__file__).parent / "recipes"
TOP_KEYS = ("name", "seed", "launch")


@dataclass(frozen=True, kw_only=True)
class LaunchConfig:
    """How many processes a stage gets on this machine. Results do not depend on it."""

    processes: Means[int | None] = None
    """Ranks of the torchrun and accelerate stages; null: one a GPU, or one without GPUs."""
    threads: Means[int | None] = None
    """CPU threads a rank (OMP_NUM_THREADS); null: cores divided by ranks."""
    accelerate: Means[str | None] = None
    """Accelerate file for the fine-tune: a name in ds_configs/ or a path; null: accelerate_gpu or accelerate_cpu."""

    def __post_init__(self) -> None:
        if self.processes is not None and self.processes < 1:
            raise ValueError(f"launch.processes must be at least 1, got {self.processes}")
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"launch.threads must be at least 1, got {self.threads}")


@dataclass(frozen=True)
class Recipe:
    """A recipe with every section resolved to its dataclass."""

    name: str
    seed: int
    path: Path
    launch: LaunchConfig
    sections: dict[str, Any]  # Any: each section's own config dataclass, by section name

    def resolved(self) -> dict[str, Any]:
        """The recipe as plain values, defaults filled in; writing it as YAML gives the same recipe."""
        plain = {name: dataclasses.asdict(config) for name, config in self.sections.items()}
        return {"name": self.name, "seed": self.seed, "launch": dataclasses.asdict(self.launch), **plain}


def find_recipe(recipe: str) -> Path:
    """A path to a YAML file, or the name of a recipe that ships with KinRec."""
    path = Path(recipe)
    if path.suffix in {".yaml", ".yml"}:
        if not path.is_file():
            raise InputError(f"{path}: no such recipe file")
        return path
    shipped = RECIPES / f"{recipe}.yaml"
    if not shipped.is_file():
        names = ", ".join(sorted(file.stem for file in RECIPES.glob("*.yaml")))
        raise InputError(f"no recipe {recipe!r}; give a .yaml file or one of: {names}")
    return shipped


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe, apply `--section.key=value` overrides, check every key and type."""
    text = _read_mapping(path)
    unknown = [key for key in text if key not in TOP_KEYS and key not in {stage.section for stage in STAGES}]
    if unknown:
        raise InputError(f"{path}: unknown key {unknown[0]!r}; a recipe has {', '.join(_all_keys())}")
    try:
        return _parse(path, text, overrides)
    except InputError:
        raise
    except ValueError as error:  # a config's own __post_init__
        raise InputError(f"{path}: {error}") from error


def _parse(path: Path, text: dict[str, Any], overrides: Sequence[str]) -> Recipe:
    from jsonargparse import ArgumentParser  # here: 0.2 s that `kinrec --help` need not pay

    parser = ArgumentParser(exit_on_error=False, default_env=False, parser_mode="yaml")
    parser.add_argument("--name", type=str, default=path.stem)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_class_arguments(LaunchConfig, "launch")
    for stage in STAGES:
        parser.add_class_arguments(config_class(stage.config), stage.section)
    for word in overrides:
        if not re.fullmatch(r"--[\w.]+=.*", word, flags=re.DOTALL):
            raise InputError(f"override {word!r} is not of the form --section.key=value")
    quiet = StringIO()
    try:
        with redirect_stderr(quiet):
            base = parser.parse_object(text)
            parsed = parser.parse_args(list(overrides), namespace=base)
            built = parser.instantiate(parsed)
    except ValueError:
        raise
    except Exception as error:  # jsonargparse raises argparse's and its own errors, by version
        raise InputError(f"{path}: {_readable(str(error))}") from error
    return Recipe(
        name=built.name,
        seed=built.seed,
        path=path,
        launch=built.launch,
        sections={stage.section: built[stage.section] for stage in STAGES},
    )


def _read_mapping(path: Path) -> dict[str, Any]:
    import yaml

    class RecipeLoader(yaml.SafeLoader):
        """Safe, and a date stays the text that it was written as."""

        yaml_implicit_resolvers = {  # noqa: RUF012  typed by its base
            first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
            for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

    try:
        text = yaml.load(path.read_text(encoding="utf-8"), Loader=RecipeLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot read the recipe: {error}") from error
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(text, dict):
        raise InputError(f"{path}: a recipe is a mapping of sections, found {type(text).__name__}")
    return text


def config_class(reference: str) -> type:
    """The dataclass that a stage names as `module:Class`."""
    module, _, name = reference.partition(":")
    found = getattr(importlib.import_module(module), name)
    assert isinstance(found, type)
    return found


def _all_keys() -> list[str]:
    return [*TOP_KEYS, *(stage.section for stage in STAGES)]


def _readable(message: str) -> str:
    """jsonargparse's several lines as one, the dotted key first."""
    line = " ".join(message.split())
    unknown = re.match(r"Group '([\w.]+)' does not accept option '([\w.]+)'", line)
    if unknown:
        return f"unknown key {'.'.join(unknown.groups())}"
    unrecognized = re.match(r"unrecognized arguments: --([\w.]+)", line)
    if unrecognized:
        return f"unknown key {unrecognized.group(1)}"
    wrong = re.match(r'Parser key "([\w.]+)": (.*)', line)
    if wrong:
        return f"{wrong.group(1)}: {wrong.group(2)[:400]}"
    return line[:500]


def default_run_dir(recipe: Recipe) -> Path:
    """`runs/NAME` below the working folder, or below $KINREC_RUNS."""
    return Path(os.environ.get("KINREC_RUNS", "runs")) / recipe.name
