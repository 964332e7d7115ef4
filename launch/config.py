"""Recipes: one YAML file a run, one section a stage, every key typed, dotted overrides on the command line.

kinrec run demo --graph.schedule.epochs=3 --run_dir=runs/short
"""

import dataclasses
import importlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar

from launch.errors import InputError
from launch.options.bounds import check_name, check_values
from launch.options.fields import MarkedField, Means, values
from launch.options.keys import check_null, check_section, describe, fields_of, unknown_key
from launch.slurm.config import SlurmConfig
from launch.stages import STAGES, Stage

C = TypeVar("C")
RECIPES = Path(__file__).parent / "recipes"
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
    """Read a recipe, apply `--section.key=value` overrides, check every key, type and value."""
    from launch.options.recipe_text import read_recipe  # here: YAML takes time that `kinrec --help` need not pay

    text = read_recipe(path)
    sections = _sections()
    known = known_fields()
    try:
        for key, value in text.items():
            if key in sections:
                check_section(value, sections[key], key, known)
            elif key in TOP_FIELDS:
                check_null(key, value, known)
            else:
                raise InputError(f"unknown key {key!r}; a recipe has {', '.join([*TOP_FIELDS, *sections])}")
        check_values(_flat(text))
        _check_overrides(overrides, known)
        return _parse(path, text, overrides, known)
    except ValueError as error:  # ours, or a config's own __post_init__
        raise InputError(f"{path}: {error}") from error


def known_fields() -> dict[str, MarkedField]:
    """Every key of a recipe by its dotted name."""
    return TOP_FIELDS | fields_of(_sections())


def _sections() -> dict[str, type]:
    return OF_NO_STAGE | {stage.section: config_class(stage.config) for stage in STAGES}


def read_section(path: Path, name: str, config_type: type[C]) -> C:
    """One section of a recipe that has a file of its own, checked as in a recipe; its keys stand at the file's top."""
    from jsonargparse import ArgumentParser

    from launch.options.recipe_text import read_recipe

    text = read_recipe(path)
    known = fields_of({name: config_type})
    parser = ArgumentParser(exit_on_error=False, default_env=False, parser_mode="yaml")
    parser.add_class_arguments(config_type, name)
    try:
        check_section(text, config_type, name, known)
        check_values(_flat(text, f"{name}."))
        built: C = parser.instantiate(_quietly(lambda: parser.parse_object({name: text}), known))[name]
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
    return built


def _given(values: dict[str, Any]) -> dict[str, Any]:
    """Without what is null or empty at every depth: a hundred keys that ask for nothing."""
    inside = {key: _given(value) if isinstance(value, dict) else value for key, value in values.items()}
    return {key: value for key, value in inside.items() if value is not None and value != {}}


def _flat(text: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in text.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _check_overrides(overrides: Sequence[str], known: Mapping[str, MarkedField]) -> None:
    """Each names one key in full: argparse would take the beginning of one, and a section's name for a file's."""
    for word in overrides:
        given = re.fullmatch(r"--([\w.]+)=.*", word, flags=re.DOTALL)
        if not given:
            raise InputError(f"override {word!r} is not of the form --section.key=value")
        name = given[1]
        if name not in known:
            if any(other.startswith(f"{name}.") for other in known):
                raise InputError(f"override {word!r} names a section; give one key of it: --{name}.key=value")
            raise unknown_key(name, known)


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
    parsed = _quietly(lambda: parser.parse_args(list(overrides), namespace=parser.parse_object(plain)), known)
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


def _quietly(parse: Callable[[], Any], known: Mapping[str, MarkedField]) -> Any:  # Any: a namespace of jsonargparse
    """What `parse` gives; the library's errors in our words."""
    try:
        with redirect_stderr(StringIO()):
            return parse()
    except InputError:
        raise
    except Exception as error:  # jsonargparse raises argparse's and its own errors, by version
        raise InputError(_readable(str(error), known)) from error


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


def default_run_dir(recipe: Recipe) -> Path:
    """`runs/NAME` below the working folder, or below $KINREC_RUNS."""
    return Path(os.environ.get("KINREC_RUNS", "runs")) / recipe.name
