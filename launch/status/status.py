"""`kinrec status RUN... [--watch]`: what runs have reached, and what is at work in them.

Reads files of the run folder and asks squeue where there is one; no torch, no accounting. Under `--watch` the picture
is drawn again two seconds after it is complete: a squeue that does not answer holds each up by its 10 s.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from launch.artifacts import read_json
from launch.errors import InputError
from launch.stages import STAGES
from launch.state.states import State, at_work, recipe_of, states_of
from launch.status.jobs import job_lines
from launch.status.ranks import living, rank_lines
from launch.summary import table
from launch.terminal import shown_lines
from launch.watch.marks import read_beats, watch_folder

WATCH_SECONDS = 2.0
HOME_AND_CLEAR = "\x1b[H\x1b[2J"


def main(words: Sequence[str]) -> int:
    """Show the runs once, or again and again until they have finished or Ctrl-C."""
    parser = argparse.ArgumentParser(prog="kinrec status", allow_abbrev=False)
    parser.add_argument("runs", type=Path, nargs="+", metavar="run", help="a run's folder")
    parser.add_argument("--watch", action="store_true", help="show again every two seconds until all have finished")
    known = parser.parse_args(words)
    while True:
        texts, over = [], True
        for run_dir in known.runs:
            text, finished = _render(run_dir)
            texts.append(text)
            over = over and finished
        redraw = known.watch and sys.stdout.isatty()
        heading = f"{time.strftime('%H:%M:%S')}\n" if known.watch else ""
        sys.stdout.write((HOME_AND_CLEAR if redraw else "") + heading + "\n".join(texts))
        sys.stdout.flush()
        if not known.watch or over:
            return 0
        if not redraw:
            sys.stdout.write("\n")
        time.sleep(WATCH_SECONDS)


def render_status(run_dir: Path) -> str:
    """One line a stage: its state and why; below it what is at work or was cut off; jobs; the headline, if the report
    holds."""
    return _render(run_dir)[0]


def _render(run_dir: Path) -> tuple[str, bool]:
    """The text, and whether all stages have finished."""
    if not (run_dir / "recipe.yaml").is_file() and not (run_dir / "manifests").is_dir():
        raise InputError(f"{run_dir}: not the folder of a run")
    recipe = recipe_of(run_dir)
    damaged = "" if recipe is not None else "  (recipe.yaml is damaged or gone: whether results fit it is not known)"
    states = states_of(run_dir, recipe)
    now, busy = time.time(), at_work(run_dir)
    lines = [f"{run_dir}{damaged}"]
    for stage in STAGES:
        state = states[stage.name]
        more = [] if state.holds else rank_lines(run_dir, stage, at_work=busy, now=now)
        alive = state.kind == "running" or bool(living(read_beats(watch_folder(run_dir, stage.name)), now=now))
        lines.append(f"  {stage.name:<9} {words_of(state, alive=alive and not state.holds)}")
        lines += [f"            {line}" for line in more]
    jobs = job_lines(run_dir, states)
    lines += ["", "  jobs", *(f"    {line}" for line in jobs)] if jobs else []
    metrics = run_dir / "report" / "metrics.json"
    if states["evaluate"].holds and metrics.is_file():
        lines += ["", table(read_json(metrics), "test")]
    return shown_lines("\n".join(lines) + "\n"), all(state.holds for state in states.values())


def words_of(state: State, *, alive: bool = False) -> str:
    """A stage's state in words.

    Args:
        alive: its ranks give signs of life, whatever the lock says here: they may be on another node.
    """
    if state.kind == "finished":
        assert state.manifest is not None
        return f"finished in {state.manifest['seconds']:.1f} s on {state.manifest['world_size']} rank(s)"
    if alive:
        return "running"
    if state.kind == "absent":
        return "-"
    return f"{state.kind}: {state.why}" if state.why else state.kind
