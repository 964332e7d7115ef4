"""The words of `kinrec ablate`, and its runs one after the other; a table after each.

    kinrec ablate RECIPE [--run_dir=DIR] [--parts a,b,c] [--seeds 1,2,3] [--section.key=value ...]

A second start goes on: what holds is skipped. `RUN/ablate/parts.json` tells `evaluation.ablation`, which makes the
table, which of the runs are finished as the recipe is now.
"""

import argparse
import atexit
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from launch.ablation.parts import PARTS, Card
from launch.ablation.planning import STAGES_OF_ABLATION, Ablation, AblationRun, plan_ablation
from launch.artifacts import read_json, write_json, write_text
from launch.cluster.allocation import refuse_lone_tasks
from launch.errors import InputError
from launch.pipeline import claim_run, run_stages
from launch.processes.forward import forward_stops, is_stop_asked
from launch.processes.signals import ignore_stops
from launch.processes.starter import start_module
from launch.stages import Stage, stage_named
from launch.state.sharing import share
from launch.state.states import recipe_of, state_of
from launch.stopping import Stopped

TABLE_MODULE = "evaluation.ablation"
log = logging.getLogger(__name__)
Json = dict[str, Any]  # Any: plain JSON values


def main(words: list[str]) -> int:
    """Run the command; its exit status."""
    refuse_lone_tasks()
    parser = argparse.ArgumentParser(prog="kinrec ablate", allow_abbrev=False)
    parser.add_argument("recipe", help="the name of a shipped recipe, or a .yaml file")
    parser.add_argument("--run_dir", type=Path, help="the run's folder; default runs/NAME; the runs lie in its ablate/")
    parser.add_argument("--parts", metavar="A,B", help=f"of {', '.join(part.name for part in PARTS)}; default all")
    parser.add_argument("--seeds", metavar="1,2,3", help="all of it with each seed; default the recipe's")
    asked, overrides = parser.parse_known_args(words)
    ablation = plan_ablation(asked.recipe, overrides, asked.run_dir, parts=asked.parts, seeds=asked.seeds)
    ablation.check()
    forward_stops()
    atexit.register(ignore_stops)
    with claim_run(ablation.recipe, ablation.run_dir):
        run_ablation(ablation)
    return 0


def run_ablation(ablation: Ablation) -> None:
    """Every run that is not finished, seed after seed, the reference first; a table whenever there is more to tell."""
    num_runs = sum(1 for _ in ablation.runs)
    places = iter([f"[{number}/{num_runs}]" for number in range(1, num_runs + 1)])
    why_not, shown = dict(ablation.why_not), None
    for seed, reference in ablation.references.items():
        make_run(reference, source=ablation.run_dir, place=next(places))
        why_not |= ablation.left_out_by(card_of(reference))
        for part, by_seed in ablation.variants.items():
            run, place = by_seed[seed], next(places)
            reason = why_not.get(part) or make_run(run, source=reference.folder, place=place)
            if reason is not None:
                log.info("%s %s: not switched, %s", place, run.name, reason)
                why_not[part] = reason
            told = told_of(ablation, why_not)
            if told != shown:
                make_table(ablation, told)
                shown = told


def make_run(run: AblationRun, *, source: Path, place: str) -> str | None:
    """Bring a run up to date, its stages those of `source` where they are the same; the reason where its pair cannot
    be made, or has nothing to switch."""
    if holds(run):
        log.info("%s %s: still holds, skipped", place, run.name)
        return None
    log.info("%s %s", place, run.name)
    if not (run.folder / "recipe.yaml").is_file():  # whose folder it is, before anything else is in it
        resolved = yaml.safe_dump(run.recipe.resolved(), sort_keys=False, allow_unicode=True)
        write_text(run.folder / "recipe.yaml", resolved)
    shared = share(source, run.folder, run.recipe, stages=STAGES_OF_ABLATION)
    if shared:
        log.info("%s %s: %s as in %s", place, run.name, ", ".join(shared), source)
    reason = why_not_prepared(run) if run.part is not None and run.part.changes_pair else None
    if reason is None:
        _run(run, STAGES_OF_ABLATION)
    return reason


def why_not_prepared(run: AblationRun) -> str | None:
    """Prepare a pair that is not the recipe's own; why that does not go, or there is nothing to switch in it."""
    assert run.part is not None
    try:
        _run(run, (stage_named("prepare"),))
    except InputError as error:  # the recipe's own pair could be made
        return str(error)
    return run.part.why_not_of(card_of(run))


def _run(run: AblationRun, stages: Sequence[Stage]) -> None:
    if is_stop_asked():  # during the last stage of what came before
        raise Stopped(f"the start of {run.name}")
    run_stages(run.recipe, run.folder, stages=stages)


def card_of(run: AblationRun) -> Card:
    """The card of its pair."""
    card: Card = read_json(run.folder / "pair" / "card.json")
    return card


def holds(run: AblationRun) -> bool:
    """Whether a run is finished as its recipe is now, and its own recipe.yaml says the same."""
    own = recipe_of(run.folder)
    return own is not None and all(
        state_of(run.folder, stage_named("evaluate"), told).holds for told in (run.recipe, own)
    )


def make_table(ablation: Ablation, told: Json) -> None:
    """Write and print the table of what is finished; its maker has said itself what it could not read."""
    write_json(ablation.folder / "parts.json", told)
    status = start_module(TABLE_MODULE, [str(ablation.folder)])
    if status != 0:
        raise SystemExit(status)


def told_of(ablation: Ablation, why_not: Mapping[str, str]) -> Json:
    """Parts, and of each the finished runs by seed, named by their folders."""
    references = {str(seed): run.name for seed, run in ablation.references.items() if holds(run)}
    parts = []
    for part in ablation.parts:
        runs = {} if part.name in why_not else ablation.variants[part.name]
        finished = {str(seed): run.name for seed, run in runs.items() if str(seed) in references and holds(run)}
        parts.append(
            {
                "part": part.name,
                "what": part.what,
                "in_recipe": part.is_on(ablation.recipe),
                "runs": finished,
                "waiting": [seed for seed in runs if str(seed) not in finished],
                "why_not": why_not.get(part.name),
            }
        )
    return {"recipe": ablation.recipe.name, "references": references, "parts": parts}
