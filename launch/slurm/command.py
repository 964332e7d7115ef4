"""The words of `kinrec submit`: a recipe, what is asked for, and what comes of it."""

import argparse
import sys
from pathlib import Path

from launch.config import known_fields
from launch.errors import InputError
from launch.pipeline import open_recipe
from launch.slurm.submission import Submission
from launch.slurm.submit import dry_run, submit
from launch.slurm.sweeps import variants
from launch.terminal import shown_lines


def main(words: list[str]) -> int:
    """Run the command; its exit status."""
    parser = argparse.ArgumentParser(prog="kinrec submit", allow_abbrev=False)
    parser.add_argument("recipe", help="the name of a shipped recipe, or a .yaml file")
    parser.add_argument("--run_dir", type=Path, help="the run's folder; default runs/NAME; a sweep's is RUN_DIR-sweep")
    parser.add_argument("--dry-run", action="store_true", help="print the scripts and the calls of sbatch, do nothing")
    parser.add_argument("--from", dest="first", metavar="STAGE", help="only from this stage on; earlier ones must hold")
    parser.add_argument(
        "--sweep", action="append", default=[], metavar="KEY=A,B", help="a run for each value; again: all pairs"
    )
    parser.add_argument("--seeds", metavar="1,2,3", help="a run for each seed")
    asked, overrides = parser.parse_known_args(words)
    wanted = _wanted(asked, overrides)
    stages = wanted.stages_from(asked.first)
    wanted.check(stages)
    sys.stdout.write(dry_run(wanted, stages) if asked.dry_run else shown_lines(submit(wanted, stages)))
    return 0


def _wanted(asked: argparse.Namespace, overrides: list[str]) -> Submission:
    recipe, run_dir = open_recipe(asked.recipe, overrides, asked.run_dir)
    run_dir = run_dir.absolute()
    if not asked.sweep and asked.seeds is None:
        return Submission(root=run_dir, runs=[run_dir], recipes=[recipe], base=None)
    swept = variants(asked.sweep, asked.seeds, known_fields())
    twice = {word.partition("=")[0] for variant in swept for word in variant.overrides}
    for word in overrides:
        if word.partition("=")[0] in twice:
            raise InputError(f"{word}: this key is swept as well; give it once")
    root = run_dir.with_name(f"{run_dir.name}-sweep")
    recipes = [open_recipe(asked.recipe, [*overrides, *variant.overrides], run_dir)[0] for variant in swept]
    return Submission(root=root, runs=[root / variant.name for variant in swept], recipes=recipes, base=run_dir)
