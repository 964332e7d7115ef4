"""What a stage's state is: the one answer that run, status, recommend, compare, evaluate and the report all give.

absent      nothing was made
running     a start of it is at work now
stopped     a start of it ended before its end; the next one goes on
stale       it finished, but what decided its result has changed since: the configuration, the seed, what it read,
            its files, or KinRec itself
finished    it holds
"""

import fcntl
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from launch.errors import InputError
from launch.stages import STAGES, Stage, stage_named
from launch.state.manifests import Intent, Record, differs, make_intent, read_manifest, started_path, why_altered
from launch.state.missing_keys import with_defaults
from launch.state.parking import finished_slot

Kind = Literal["absent", "running", "stopped", "stale", "finished"]


@dataclass(frozen=True)
class State:
    """What one stage has reached, and why it is not finished."""

    kind: Kind
    why: str = ""
    manifest: Record | None = None

    @property
    def holds(self) -> bool:
        """What the stage wrote may be read."""
        return self.kind == "finished"


class Told(Protocol):
    """What a run should have been made by: a `Recipe`, or one as it stands in the run's own file."""

    @property
    def seed(self) -> int:
        """The recipe's seed."""

    @property
    def sections(self) -> Mapping[str, Any]:  # Any: a section's dataclass, or its plain values
        """Configuration by section."""


@dataclass(frozen=True)
class PlainRecipe:
    """A run's recipe.yaml as plain values: quick to read, and enough to compare with what its stages were told."""

    seed: int
    sections: Mapping[str, Any]


def states_of(
    run_dir: Path, recipe: Told | None = None, *, stages: Sequence[Stage] = STAGES, outside: bool = True
) -> dict[str, State]:
    """The state of every stage of `stages` by name; as `state_of`."""
    known: dict[str, State] = {}
    for stage in stages:
        state_of(run_dir, stage, recipe, outside=outside, known=known)
    return {stage.name: known[stage.name] for stage in stages}


def state_of(
    run_dir: Path,
    stage: Stage,
    recipe: Told | None = None,
    *,
    outside: bool = True,
    known: dict[str, State] | None = None,
) -> State:
    """The state of one stage.

    Args:
        recipe: what it should have been made by; None: whatever it was made by.
        outside: look at raw data outside of the run as well, as far as they are there.
        known: states that were found already; filled.
    """
    known = {} if known is None else known
    if stage.name not in known:
        known[stage.name] = _look(run_dir, stage, recipe, outside, known)
    return known[stage.name]


def recipe_of(run_dir: Path) -> PlainRecipe | None:
    """The recipe that a run was last started from; None where its file is damaged or gone."""
    import yaml

    try:
        plain = yaml.safe_load((run_dir / "recipe.yaml").read_text(encoding="utf-8"))
        sections = {stage.section: dict(plain[stage.section]) for stage in STAGES}
        return PlainRecipe(seed=int(plain["seed"]), sections=sections)
    except (OSError, ValueError, KeyError, TypeError, RecursionError, yaml.YAMLError):
        return None


def intent_of(
    run_dir: Path,
    stage: Stage,
    *,
    config: Any,  # Any: a section's dataclass, or its plain values
    seed: int,
    recipe: Told | None,
    outside: bool = False,
    known: dict[str, State] | None = None,
) -> Intent:
    """What decides `stage` now: its configuration and seed, and what it would read; the rest as in `state_of`."""
    known = {} if known is None else known
    without = [
        name
        for name in stage.optional
        if not state_of(run_dir, stage_named(name), recipe, outside=outside, known=known).holds
    ]
    return make_intent(run_dir, stage, config=config, seed=seed, without=without)


def why_unreadable(run_dir: Path, stages: Iterable[Stage], recipe: Told | None = None, *, cure: str) -> str | None:
    """None if what all `stages` wrote may be read; else one line that ends with the command that mends it.

    Args:
        cure: that command; `{stage}` in it stands for the stage that is to run.
    """
    known: dict[str, State] = {}
    for stage in stages:
        state = state_of(run_dir, stage, recipe, outside=False, known=known)
        if not state.holds:
            problem = {"stale": f"is stale: {state.why}", "running": "is at work"}.get(state.kind, "has not finished")
            return f"{run_dir}: {stage.name} {problem}; {cure.format(stage=stage.name)}"
    return None


def check_finished(run_dir: Path, stages: Iterable[Stage] = STAGES) -> None:
    """InputError unless `stages` of a run have finished and all that they wrote is as it was."""
    if not (run_dir / "recipe.yaml").is_file():
        raise InputError(f"{run_dir}: not the folder of a run (it has no recipe.yaml)")
    told = recipe_of(run_dir)
    if told is None:
        raise InputError(f"{run_dir / 'recipe.yaml'}: damaged; run the recipe again with --run_dir={run_dir}")
    problem = why_unreadable(run_dir, stages, told, cure=f"run `kinrec run {run_dir / 'recipe.yaml'}` first")
    if problem is not None:
        raise InputError(problem)


def at_work(run_dir: Path) -> bool:
    """Whether some process holds the run now."""
    try:
        descriptor = os.open(run_dir / "lock", os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return False
    finally:
        os.close(descriptor)
    return False


def _look(run_dir: Path, stage: Stage, recipe: Told | None, outside: bool, known: dict[str, State]) -> State:
    manifest = read_manifest(run_dir, stage)
    if manifest is None:
        return _without_manifest(run_dir, stage)
    config, seed = (None, manifest["seed"]) if recipe is None else (recipe.sections[stage.section], recipe.seed)
    intent = intent_of(run_dir, stage, config=config, seed=seed, recipe=recipe, outside=outside, known=known)
    if recipe is None:
        intent = replace(intent, config=manifest["config"])
    elif isinstance(recipe, PlainRecipe):  # it holds what does not decide, too
        told, was = (with_defaults(values, intent.defaults) for values in (intent.config, manifest["config"]))
        intent = replace(intent, config=_same_keys(told, was))
    reason = differs(manifest, intent, stage) or why_altered(run_dir, manifest, outside=outside)
    for name in stage.reads if reason is None else ():
        upstream = state_of(run_dir, stage_named(name), recipe, outside=outside, known=known)
        if not upstream.holds:
            reason = f"{name}, which it read, is {upstream.kind}"
            break
    return State("finished", manifest=manifest) if reason is None else State("stale", reason, manifest)


def _same_keys(values: Any, like: Any) -> Any:  # Any: plain JSON values
    """Of `values`, what has a counterpart in `like`."""
    if not isinstance(values, dict) or not isinstance(like, dict):
        return values
    return {key: _same_keys(values.get(key), like[key]) for key in like}


def _without_manifest(run_dir: Path, stage: Stage) -> State:
    waits = "; its earlier result waits until then" if finished_slot(run_dir, stage) is not None else ""
    if not started_path(run_dir, stage).is_file():
        return State("absent")
    if at_work(run_dir):
        return State("running", waits.removeprefix("; "))
    return State("stopped", f"started, not finished; the next start goes on{waits}")
