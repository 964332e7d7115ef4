"""Run the stages of a recipe in order, skipping what still holds, stopping at the first that fails."""

import importlib
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from launch.artifacts import remove_partials, write_text
from launch.cluster.allocation import Allocation, count_nodes, read_allocation
from launch.config import LaunchConfig, Recipe, default_run_dir, find_recipe, load_recipe
from launch.errors import InputError
from launch.plan.room import check_room
from launch.processes.commands import resources
from launch.processes.forward import is_stop_asked
from launch.processes.lock import NAME, hold_lock
from launch.processes.starter import BareStatusError, StageError, start_stage
from launch.processes.temporary import TEMPORARY, remove_temporary
from launch.stages import STAGES, Stage
from launch.state.history import NoProgress, recorded
from launch.state.manifests import read_manifest
from launch.state.parking import settle
from launch.state.starts import revive
from launch.state.states import intent_of, recipe_of, state_of, states_of
from launch.stopping import Stopped, read_stop, stopped_path

log = logging.getLogger(__name__)
SUBMITTED = "slurm/recipe.yaml"
"""The recipe that the run's SLURM jobs start their stages from; there before any of them has begun."""
ABLATIONS = "ablate"
"""The folder of a run in which `kinrec ablate` keeps runs of its own."""


def run_stages(recipe: Recipe, run_dir: Path, *, stages: Sequence[Stage] = STAGES) -> None:
    """Bring `run_dir` up to date with `recipe`, as far as `stages` go.

    The whole recipe is checked before the first stage starts. The run's recipe.yaml becomes this one when a stage is
    started from it; where that first start fails and an earlier result comes back, its recipe does too.
    """
    with claim_run(recipe, run_dir):
        check_recipe(recipe, run_dir, stages)
        if recipe.installed:
            log.info("with the recipe's keys for where %s is installed", " and ".join(recipe.installed))
        allocation = read_allocation()
        if any(stage.starter != "python" and not state_of(run_dir, stage, recipe).holds for stage in stages):
            count_nodes(recipe.launch.nodes, allocation)
        kept = KeptRecipe(run_dir, recipe)
        for number, stage in enumerate(stages, start=1):
            place = f"[{number}/{len(stages)}] {stage.name}"
            state = state_of(run_dir, stage, recipe)
            if state.holds:
                log.info("%s: still holds, skipped", place)
                continue
            intent = intent_of(run_dir, stage, config=recipe.sections[stage.section], seed=recipe.seed, recipe=recipe)
            if revive(run_dir, stage, intent) and state_of(run_dir, stage, recipe).holds:
                log.info("%s: an earlier result of just this recipe is back in place", place)
                kept.write()
                continue
            log.info("%s%s", place, f": runs again, {state.why}" if state.kind == "stale" else "")
            check_room(stage, recipe, run_dir)
            kept.write()
            began = time.monotonic()
            try:
                stop = run_stage(stage, kept.path, run_dir, recipe.launch, allocation)
            except (Stopped, NoProgress):
                raise  # what it has left is the next start's to go on with
            except Exception:
                settle(run_dir, stage)
                if read_manifest(run_dir, stage) is not None:  # an earlier result is back, by this or by the stage
                    kept.undo()
                raise
            kept.was = None
            log.info("%s: %.0f s", place, time.monotonic() - began)
            if stop and number < len(stages):
                raise Stopped(f"the end of {stage.name}")
        told = recipe_of(run_dir)
        if told is None or not all(state_of(run_dir, stage, told).holds for stage in stages):
            kept.write()  # no stage had to start, yet the run's own file is damaged, gone, or of a start that failed


def run_stage(stage: Stage, recipe: Path, run_dir: Path, launch: LaunchConfig, allocation: Allocation | None) -> bool:
    """Run `stage` to its end; whether a stop was asked for meanwhile. `Stopped` if it ended before its end for that."""
    ranks = 1 if stage.starter == "python" else count_nodes(launch.nodes, allocation) * resources(launch).processes
    with recorded(run_dir, stage, ranks=ranks):
        return _run_stage(stage, recipe, run_dir, launch, allocation)


def _run_stage(stage: Stage, recipe: Path, run_dir: Path, launch: LaunchConfig, allocation: Allocation | None) -> bool:
    stopped_path(run_dir, stage).unlink(missing_ok=True)
    failure: StageError | None = None
    try:
        start_stage(stage, recipe=recipe, run_dir=run_dir, launch=launch, allocation=allocation)
    except StageError as error:
        failure = error
    stop = read_stop(run_dir, stage)
    if stop is None and not is_stop_asked():
        if failure is not None:
            raise failure
        if read_manifest(run_dir, stage) is None:
            raise StageError(f"{stage.name} ended without an error and without a result; see {run_dir / 'logs'}")
        return False
    if failure is None and read_manifest(run_dir, stage) is not None:
        stopped_path(run_dir, stage).unlink(missing_ok=True)
        return True
    where = stop.where if stop is not None else None
    has_ended_at_once = stop is not None and where is None and isinstance(failure, BareStatusError)
    if failure is not None and not has_ended_at_once:  # at once: the status is that of the stop
        log.info("%s", failure)
    raise Stopped(f"{where} of {stage.name}" if where else f"the start of {stage.name}") from failure


class KeptRecipe:
    """`recipe.yaml` of a run: with every default, as the stages were last started."""

    def __init__(self, run_dir: Path, recipe: Recipe) -> None:
        self.path = run_dir / "recipe.yaml"
        self.recipe = recipe
        self.was = self.path.read_bytes() if self.path.is_file() else None
        """What it was before this command, until a stage has finished with the new one."""
        self._written = False

    def write(self) -> None:
        """Make it this command's recipe."""
        import yaml

        if not self._written:
            write_text(self.path, yaml.safe_dump(self.recipe.resolved(), sort_keys=False, allow_unicode=True))
            self._written = True

    def undo(self) -> None:
        """Put back what it was, if nothing was finished with the new one."""
        if self.was is not None:
            write_text(self.path, self.was.decode(errors="replace"))
            self._written = False


def check_recipe(recipe: Recipe, run_dir: Path, stages: Sequence[Stage]) -> None:
    """InputError for a file that some stage which is to run would not find, or not be able to use."""
    states = states_of(run_dir, recipe, stages=stages)
    for stage in stages:
        for reference in () if states[stage.name].holds else stage.checks:
            module, _, name = reference.partition(":")
            getattr(importlib.import_module(module), name)(recipe)


def open_recipe(name: str, overrides: Sequence[str], run_dir: Path | None) -> tuple[Recipe, Path]:
    """A recipe with overrides applied, and the folder of its run: for a run's own recipe.yaml, that run's."""
    path = find_recipe(name)
    recipe = load_recipe(path, overrides)
    own = path.parent if path.name == "recipe.yaml" and (path.parent / "manifests").is_dir() else None
    return recipe, run_dir or own or default_run_dir(recipe)


@contextmanager
def claim_run(recipe: Recipe, run_dir: Path) -> Iterator[None]:
    """Hold the run folder for this process."""
    check_folder(recipe, run_dir)
    with hold_lock(run_dir):
        remove_temporary(run_dir)
        remove_partials(run_dir)
        yield


def check_folder(recipe: Recipe, run_dir: Path) -> None:
    """InputError for a folder that is not this recipe's run, nor free to become it."""
    if run_dir.exists() and not run_dir.is_dir():
        raise InputError(f"{run_dir}: not a folder; choose another --run_dir")
    kept = next((path for path in (run_dir / "recipe.yaml", run_dir / SUBMITTED) if path.is_file()), None)
    if kept is not None:
        owner = owner_of(kept)
        if owner is not None and owner != recipe.name:
            raise InputError(
                f"{run_dir}: this folder belongs to the recipe {owner!r}, not {recipe.name!r}; choose another --run_dir"
            )
    elif run_dir.is_dir() and any(path.name not in {NAME, TEMPORARY, "slurm", ABLATIONS} for path in run_dir.iterdir()):
        raise InputError(f"{run_dir}: not empty and not the folder of a run; choose another --run_dir")


def owner_of(kept: Path) -> str | None:
    """The name of the recipe that a run's recipe.yaml holds; None where the file is damaged."""
    import yaml

    try:
        plain = yaml.safe_load(kept.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        plain = None
    name = plain.get("name") if isinstance(plain, dict) else None
    if not isinstance(name, str):
        log.warning("%s is damaged; it is written anew when a stage starts", kept)
        return None
    return name
