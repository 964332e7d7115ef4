"""Run folders made of a few words, for tests of what a run's stages have reached."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launch.options.fields import Decides
from launch.stage import Job, open_stage
from launch.stages import Stage, stage_named
from launch.state.manifests import Intent, make_intent
from launch.state.states import PlainRecipe, state_of

PREPARE, PRETRAIN, RETRIEVE = (stage_named(name) for name in ("prepare", "pretrain", "retrieve"))


@dataclass(frozen=True)
class Config:
    """A section with one key."""

    width: Decides[int] = 1


def write(run_dir: Path, name: str, text: str) -> None:
    """Write a file of the run, and its folders."""
    (run_dir / name).parent.mkdir(parents=True, exist_ok=True)
    (run_dir / name).write_text(text, encoding="utf-8")


def job(run_dir: Path, stage: str, width: int = 1) -> Job[Any]:
    """A start of `stage` alone."""
    return Job(stage=stage_named(stage), config=Config(width), seed=1, run_dir=run_dir, recipe_name="r")


def run_all(run_dir: Path, text: str = "items", width: int = 1) -> None:
    """prepare and pretrain, each with one file."""
    for stage, file in (("prepare", "pair/items.parquet"), ("pretrain", "graph/model.safetensors")):
        with open_stage(job(run_dir, stage, width)):
            write(run_dir, file, text)


def intent(run_dir: Path, stage: Stage, width: int = 1) -> Intent:
    """What would decide `stage` now."""
    return make_intent(run_dir, stage, config=Config(width), seed=1)


def why_not(run_dir: Path, stage: Stage, width: int = 1, *, seed: int = 1, upstream_width: int = 1) -> str | None:
    """Why a stage does not hold for a recipe of this width; None if it does."""
    sections = {other: {"width": upstream_width} for other in ("pair", "graph", "retrieval")}
    state = state_of(run_dir, stage, PlainRecipe(seed, {**sections, stage.section: {"width": width}}))
    return None if state.holds else state.why or state.kind
