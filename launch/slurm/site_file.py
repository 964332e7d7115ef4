"""What each stage's job asks for: the stage's own keys, then those of CPU jobs, then the section's; recipe before site.

The site file holds, once for all recipes, what one cluster wants: the keys of the section `slurm` without `site`.
"""

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from launch.config import Recipe
from launch.errors import InputError
from launch.options.typed import read_section
from launch.slurm.config import JobConfig, SlurmConfig, option_of
from launch.stages import STAGES

SITE = "KINREC_SITE"
CPU_JOBS = ("prepare", "tokenize", "evaluate", "compare")
SPREAD = ("pretrain", "finetune", "generate")
"""The stages that take all nodes of `launch.nodes`."""
SIGNAL_SECONDS = 300
C = TypeVar("C")


@dataclass(frozen=True)
class Asked:
    """What one job asks of SLURM; None or empty: not asked for."""

    nodes: int
    gpus: int | None
    cpus: int | None
    memory: str | None
    time: str | None
    account: str | None
    partition: str | None
    qos: str | None
    constraint: str | None
    signal_seconds: int
    setup: tuple[str, ...]
    container: str | None
    doctor: bool
    raw: tuple[str, ...]


def with_site(recipe: Recipe) -> SlurmConfig:
    """The recipe's section `slurm` laid over the site file's, key by key."""
    named = recipe.slurm.site or os.environ.get(SITE)
    if not named:
        return recipe.slurm
    path = Path(named).expanduser()
    if not path.is_file():
        raise InputError(f"{'slurm.site' if recipe.slurm.site else '$' + SITE}={named}: no such file")
    site = read_section(path, "slurm", SlurmConfig)
    if site.site is not None:
        raise InputError(f"{path}: slurm.site: a site file names no other one")
    return _laid_over(recipe.slurm, site)


def asked(slurm: SlurmConfig, job: str, *, nodes: int | None) -> Asked:
    """What the job of a stage, or `compare`, asks for.

    Args:
        nodes: the recipe's `launch.nodes`.
    """
    own: JobConfig = getattr(slurm.stages, "evaluate" if job == "compare" else job)
    on_cpu = job in CPU_JOBS
    layers = [own, *([slurm.cpu] if on_cpu else []), slurm]

    def first(name: str) -> Any:  # Any: the field's own type
        given = (getattr(layer, name) for layer in layers)
        return next((value for value in given if value is not None), None) or None  # empty text: none at all

    gpus = next((layer.gpus for layer in layers if layer.gpus is not None and not (on_cpu and layer is slurm)), None)
    spread = nodes if job in SPREAD and nodes is not None else 1
    return Asked(
        nodes=(None if job == "compare" else getattr(own, "nodes", None)) or spread,
        gpus=gpus or None,
        cpus=first("cpus"),
        memory=first("memory"),
        time=first("time"),
        account=first("account"),
        partition=first("partition"),
        qos=first("qos"),
        constraint=first("constraint"),
        signal_seconds=first("signal_seconds") or SIGNAL_SECONDS,
        setup=tuple(first("setup") or ()),
        container=first("container"),
        doctor=next((layer.doctor for layer in layers if layer.doctor is not None), True),
        raw=tuple(option_of(line) for line in first("raw") or ()),
    )


def for_jobs(recipe: Recipe) -> Recipe:
    """The recipe as jobs read it: each takes all nodes that it got, and how many those are stands with the stages."""
    stages = {
        stage.name: dataclasses.replace(own, nodes=own.nodes or recipe.launch.nodes) if stage.name in SPREAD else own
        for stage in STAGES
        for own in [getattr(recipe.slurm.stages, stage.name)]
    }
    slurm = dataclasses.replace(recipe.slurm, stages=dataclasses.replace(recipe.slurm.stages, **stages))
    return dataclasses.replace(recipe, slurm=slurm, launch=dataclasses.replace(recipe.launch, nodes=None))


def _laid_over(top: C, below: C) -> C:
    """A configuration whose nulls are filled from another of its type."""
    assert dataclasses.is_dataclass(top)
    assert not isinstance(top, type)
    filled = {}
    for field in dataclasses.fields(top):
        mine, other = getattr(top, field.name), getattr(below, field.name)
        filled[field.name] = (
            _laid_over(mine, other) if dataclasses.is_dataclass(mine) else other if mine is None else mine
        )
    return dataclasses.replace(top, **filled)
