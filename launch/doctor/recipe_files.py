"""What a recipe reads: raw data, base model, DeepSpeed file, and what its stages have made in the run folder."""

import importlib
import inspect
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from launch.config import Recipe
from launch.doctor.diagnoses import Diagnosis, failed, passed, warned
from launch.errors import InputError, one_line
from launch.processes.children import run_module
from launch.stages import STAGES, Stage, stage_named
from launch.state.states import states_of

EXAMINE = "launch.doctor.examine_probe"


def check_files(recipe: Recipe, stages: Sequence[Stage] = STAGES) -> Iterator[Diagnosis]:
    """The light checks that `kinrec run` makes before it starts `stages`, all of them."""
    for reference in dict.fromkeys(reference for stage in stages for reference in stage.checks):
        yield check_reference(reference, recipe)


def check_reference(reference: str, recipe: Recipe) -> Diagnosis:
    """One check that a package names as `module:check_WHAT`; its docstring says what holds where it passes."""
    module, _, name = reference.partition(":")
    check = name.partition("_")[2].replace("_", " ")
    try:
        function = getattr(importlib.import_module(module), name)
        function(recipe)
    except InputError as error:
        return failed(check, str(error), "")
    said = (inspect.getdoc(function) or "").split("\n")[0].rstrip(".")
    return passed(check, said[:1].lower() + said[1:])


def check_closely(
    recipe: Recipe, words: list[str], stages: Sequence[Stage] = STAGES, *, seconds: float
) -> Iterator[Diagnosis]:
    """The checks that need heavy libraries, from a process of their own.

    Args:
        words: the recipe's file and overrides, as a command line has them.
    """
    references = [reference for stage in stages for reference in stage.examines]
    if not references:
        return
    outcome = run_module(EXAMINE, [str(recipe.path), json.dumps(words), *references], seconds=seconds)
    for said in outcome.answers:
        check, text = said["check"], said["text"]
        yield failed(check, text, "") if said["problem"] else passed(check, text)
    if outcome.status is None:
        yield warned("base model", f"not checked: {outcome.why}", "give --timeout=SECONDS where imports are slow")
    elif outcome.status != 0:
        yield failed("base model", outcome.why, "mend what it says; see the lines about packages and torch")


def check_states(recipe: Recipe, run_dir: Path, stage: str | None) -> Iterator[Diagnosis]:
    """What the run folder holds: for one `stage`, what it reads has to be ready; else what is ready of all."""
    try:
        states = states_of(run_dir, recipe)
    except OSError as error:
        yield failed("data", one_line(error) or str(error), "choose another --run_dir")
        return
    for name in stage_named(stage).reads if stage is not None else ():
        state = states[name]
        if not state.holds:
            why = f": {state.why}" if state.why else ""
            yield failed("data", f"{name}, which {stage} reads, is {state.kind}{why}", f"run `kinrec {name}` first")
    ready = [name for name, state in states.items() if state.holds]
    stale = [f"{name} ({state.why})" for name, state in states.items() if state.kind == "stale"]
    if stale:
        yield warned("data", f"stale: {'; '.join(stale)}", "they run again; give the old recipe to keep them")
    yield passed("data", f"ready: {', '.join(ready)}" if ready else "nothing is made yet")


def compiled_ops(recipe: Recipe, stages: Sequence[Stage] = STAGES) -> str | None:
    """The operations that the recipe's DeepSpeed file has to compile before the fine-tune; None where it needs none."""
    for stage in stages:
        if stage.compiles is not None:
            module, _, name = stage.compiles.partition(":")
            ops: str | None = getattr(importlib.import_module(module), name)(recipe)
            return ops
    return None
