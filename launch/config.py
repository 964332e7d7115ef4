"""Recipes: one YAML file a run, one section a stage, every key typed, dotted overrides on the command line.

kinrec run demo --graph.schedule.epochs=3 --run_dir=runs/short
"""

import dataclasses
import importlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from launch.errors import InputError
from launch.options.bounds import check_name, check_values
from launch.options.fields import MarkedField, Means, values
from launch.options.installed import KEY, is_installed, merged, packages_of
from launch.options.keys import check_null, check_section, fields_of
from launch.options.overrides import check_overrides
from launch.options.typed import flat, quietly
from launch.slurm.config import SlurmConfig
from launch.stages import STAGES, Stage

RECIPES = Path(__file__).parent / "recipes"
COMMAND_LINE = "command line"
"""Where a mistake in the overrides is said to be."""
TOP_FIELDS = {"name": MarkedField("name", str, None), "seed": MarkedField("seed", int, None)}


@dataclass(frozen=True, kw_only=True)
class LaunchConfig:
    """Where and how a stage's ranks start. Results do not depend on it."""

    nodes: Means[int | None] = None
    """Nodes of the torchrun and accelerate stages; null: all of the SLURM allocation that the command runs in, or
    this machine alone."""
    processes: Means[int | None] = None
    """Ranks of those stages on each node; null: one a GPU, or one without GPUs."""
    threads: Means[int | None] = None
    """CPU threads a rank (OMP_NUM_THREADS); null: cores divided by ranks."""
    accelerate: Means[str | None] = None
    """Accelerate file for the fine-tune: a name in ds_configs/ or a path; null: accelerate_gpu or accelerate_cpu,
    on several nodes accelerate_multinode."""
    master: Means[str | None] = None
    """Name or address at which the first node is reached by the others; null: as SLURM knows it."""
    interface: Means[str | None] = None
    """Network interface that the ranks talk over, for gloo and NCCL alike (ib0, eth0); null: gloo
    takes the one that leads to the first node, NCCL chooses."""
    start_timeout: Means[float] = 600.0
    """Seconds that a rank may stand still until its first step is done, and in what takes long in one piece: a
    checkpoint, an index, publishing the model."""
    step_timeout: Means[float] = 600.0
    """Seconds within which every later step, batch, block or file must end; else the job ends and says whose."""

    check_memory: Means[bool] = True
    """Whether a stage is refused where this machine has less memory than `kinrec plan` says it needs."""

    def __post_init__(self) -> None:
        for name in ("nodes", "processes", "threads", "start_timeout", "step_timeout"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"launch.{name} must be at least 1, got {value}")
        for name in ("master", "interface"):
            value = getattr(self, name)
            if value is not None and re.fullmatch(r"[\w.:%-]+", value, flags=re.ASCII) is None:
                raise ValueError(f"launch.{name} must be a plain name or address, got {value!r}")


OF_NO_STAGE = {"launch": LaunchConfig, "slurm": SlurmConfig}
"""The sections that are not a stage's; nothing in them decides a result."""


@dataclass(frozen=True)
class Recipe:
    """A recipe with every section resolved to its dataclass."""

    name: str
    seed: int
    path: Path
    launch: LaunchConfig
    slurm: SlurmConfig
    sections: dict[str, Any]  # Any: each section's own config dataclass, by section name
    installed: tuple[str, ...] = ()
    """Packages whose keys, the recipe's `where_installed`, were laid over the others."""

    def resolved(self) -> dict[str, Any]:
        """The recipe as plain values, defaults filled in; writing it as YAML gives the same recipe."""
        plain = {name: dataclasses.asdict(config) for name, config in self.sections.items()}
        means = {"launch": dataclasses.asdict(self.launch), "slurm": _given(dataclasses.asdict(self.slurm))}
        return {"name": self.name, "seed": self.seed, **means, **plain}


def find_recipe(recipe: str) -> Path:
    """A path to a YAML file, or the name of a recipe that ships with KinRec."""
    path = Path(recipe)
    if path.suffix in {".yaml", ".yml"}:
        if not path.exists():
            raise InputError(f"{path}: no such recipe file")
        return path
    shipped = {file.stem: file for file in RECIPES.glob("*.yaml")}
    if recipe not in shipped:
        raise InputError(f"no recipe {recipe!r}; give a .yaml file or one of: {', '.join(sorted(shipped))}")
    return shipped[recipe]


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe, apply `--section.key=value` overrides, check every key, type and value.

    InputError says where the mistake is: in the file, which is wrong in the same way without them, or in the overrides.
    """
    from launch.options.recipe_text import read_recipe  # here: YAML takes time that `kinrec --help` need not pay

    text = read_recipe(path)
    try:
        return _load(path, text, overrides)
    except ValueError as error:  # ours, or a config's own __post_init__
        where = str(path) if not overrides or _mistake(path, text) == str(error) else COMMAND_LINE
        raise InputError(f"{where}: {error}") from error


def _load(path: Path, text: dict[str, Any], overrides: Sequence[str]) -> Recipe:
    """The recipe with what it asks for where a package is installed; that is checked where it is not, too."""
    over = packages_of(text, _sections())
    own = {key: value for key, value in text.items() if key != KEY}
    recipe = _load_plain(path, own, overrides)
    for package, sections in over.items():
        laid = merged(own, sections)
        try:
            with_it = _load_plain(path, laid, overrides)
        except ValueError as error:
            if is_installed(package) or not _is_valid(path, laid):  # else these overrides are for a recipe without it
                raise InputError(f"{KEY}.{package}: {error}") from error
            continue
        if is_installed(package):
            own, recipe = laid, replace(with_it, installed=(*recipe.installed, package))
    return recipe


def _is_valid(path: Path, text: dict[str, Any]) -> bool:
    try:
        _load_plain(path, text, ())
    except ValueError:
        return False
    return True


def _load_plain(path: Path, text: dict[str, Any], overrides: Sequence[str]) -> Recipe:
    sections = _sections()
    known = known_fields()
    for key, value in text.items():
        if key in sections:
            check_section(value, sections[key], key, known)
        elif key in TOP_FIELDS:
            check_null(key, value, known)
        else:
            raise InputError(f"unknown key {key!r}; a recipe has {', '.join([*TOP_FIELDS, *sections, KEY])}")
    check_values(flat(text))
    check_overrides(overrides, known)
    return _parse(path, text, overrides, known)


def _mistake(path: Path, text: dict[str, Any]) -> str | None:
    """What is wrong with the file alone."""
    try:
        _load(path, text, ())
    except ValueError as error:
        return str(error)
    return None


def known_fields() -> dict[str, MarkedField]:
    """Every key of a recipe by its dotted name."""
    return TOP_FIELDS | fields_of(_sections())


def _sections() -> dict[str, type]:
    return OF_NO_STAGE | {stage.section: config_class(stage.config) for stage in STAGES}


def _given(values: dict[str, Any]) -> dict[str, Any]:
    """Without what is null or empty at every depth: a hundred keys that ask for nothing."""
    inside = {key: _given(value) if isinstance(value, dict) else value for key, value in values.items()}
    return {key: value for key, value in inside.items() if value is not None and value != {}}


def _parse(path: Path, text: dict[str, Any], overrides: Sequence[str], known: Mapping[str, MarkedField]) -> Recipe:
    from jsonargparse import ArgumentParser  # here: 0.2 s that `kinrec --help` need not pay

    parser = ArgumentParser(exit_on_error=False, default_env=False, parser_mode="yaml")
    parser.add_argument("--name", type=str, default=path.stem)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_class_arguments(LaunchConfig, "launch")
    asks_slurm = bool(text.get("slurm")) or any(word.startswith("--slurm.") for word in overrides)
    if asks_slurm:  # else left out: its hundred keys take as long as all of the others
        parser.add_class_arguments(SlurmConfig, "slurm")
    for stage in STAGES:
        parser.add_class_arguments(config_class(stage.config), stage.section)
        if stage.presets is not None:
            parser.set_defaults(_preset(stage, text, overrides))
    plain = text if asks_slurm else {key: value for key, value in text.items() if key != "slurm"}
    parsed = quietly(lambda: parser.parse_args(list(overrides), namespace=parser.parse_object(plain)), known)
    given = vars(parsed.as_flat())
    for name, value in given.items():
        if name in known:
            check_null(name, value, known)
    check_values(given.items())
    built = parser.instantiate(parsed)
    check_name(built.name)
    return Recipe(
        name=built.name,
        seed=built.seed,
        path=path,
        launch=built.launch,
        slurm=built.slurm if asks_slurm else SlurmConfig(),
        sections={stage.section: built[stage.section] for stage in STAGES},
    )


def _preset(stage: Stage, text: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """The values that a recipe's keys are laid onto: those of the preset that it names, or of the first there is."""
    presets = presets_of(stage)
    given = text.get(stage.section, {}).get("preset")
    for word in overrides:
        name, _, value = word.partition("=")
        given = value if name == f"--{stage.section}.preset" else given
    first = next(iter(presets))
    chosen = presets[given if isinstance(given, str) and given in presets else first]  # its type refuses another
    return dict(values(chosen, f"{stage.section}."))


def presets_of(stage: Stage) -> Mapping[str, Any]:
    """A section's presets by name, none for most; the first is the default."""
    if stage.presets is None:
        return {}
    module, _, name = stage.presets.partition(":")
    presets: Mapping[str, Any] = getattr(importlib.import_module(module), name)
    return presets


def config_class(reference: str) -> type:
    """The dataclass that a stage names as `module:Class`."""
    module, _, name = reference.partition(":")
    section_type = getattr(importlib.import_module(module), name)
    assert isinstance(section_type, type)
    return section_type


def default_run_dir(recipe: Recipe) -> Path:
    """`runs/NAME` below the working folder, or below $KINREC_RUNS."""
    return Path(os.environ.get("KINREC_RUNS", "runs")) / recipe.name
