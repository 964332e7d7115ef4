"""Run the stages of a recipe in order, skipping what still holds, stopping at the first that fails."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from launch.artifacts import write_text
from launch.config import Recipe, default_run_dir, find_recipe, load_recipe
from launch.errors import InputError
from launch.manifests import make_intent, read_manifest, why_stale
from launch.processes.lock import NAME, hold_lock
from launch.processes.starter import start_stage
from launch.processes.temporary import TEMPORARY, remove_temporary
from launch.stages import STAGES, Stage

log = logging.getLogger(__name__)


def run_stages(recipe: Recipe, run_dir: Path, *, stages: Sequence[Stage] = STAGES) -> None:
    """Bring `run_dir` up to date with `recipe`, as far as `stages` go."""
    with claim_run(recipe, run_dir) as resolved:
        for number, stage in enumerate(stages, start=1):
            intent = make_intent(run_dir, stage, config=recipe.sections[stage.section], seed=recipe.seed)
            reason = why_stale(run_dir, stage, intent)
            place = f"[{number}/{len(stages)}] {stage.name}"
            if reason is None:
                log.info("%s: still holds, skipped", place)
                continue
            started = read_manifest(run_dir, stage)
            log.info("%s%s", place, f": runs again, {reason}" if started is not None else "")
            began = time.monotonic()
            start_stage(stage, recipe=resolved, run_dir=run_dir, launch=recipe.launch)
            log.info("%s: %.0f s", place, time.monotonic() - began)


def open_recipe(name: str, overrides: Sequence[str], run_dir: Path | None) -> tuple[Recipe, Path]:
    """A recipe with overrides applied, and the folder of its run."""
    recipe = load_recipe(find_recipe(name), overrides)
    return recipe, run_dir or default_run_dir(recipe)


@contextmanager
def claim_run(recipe: Recipe, run_dir: Path) -> Iterator[Path]:
    """Hold the run folder for this process and keep the resolved recipe in it; yields the recipe's path."""
    import yaml

    kept = run_dir / "recipe.yaml"
    if run_dir.exists() and not run_dir.is_dir():
        raise InputError(f"{run_dir}: not a folder; choose another --run_dir")
    if kept.is_file():
        owner = yaml.safe_load(kept.read_text(encoding="utf-8")).get("name")
        if owner != recipe.name:
            raise InputError(
                f"{run_dir}: this folder belongs to the recipe {owner!r}, not {recipe.name!r}; choose another --run_dir"
            )
    elif run_dir.is_dir() and any(path.name not in {NAME, TEMPORARY} for path in run_dir.iterdir()):
        raise InputError(f"{run_dir}: not empty and not the folder of a run; choose another --run_dir")
    with hold_lock(run_dir):
        remove_temporary(run_dir)
        write_text(kept, yaml.safe_dump(recipe.resolved(), sort_keys=False, allow_unicode=True))
        yield kept
