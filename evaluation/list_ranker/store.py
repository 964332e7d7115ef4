"""The list ranker in a run folder: LightGBM's own text, which holds numbers alone and runs nothing when it is read."""

from pathlib import Path

import lightgbm

from evaluation.list_ranker.bank import Bank
from evaluation.list_ranker.final import ListRanker
from evaluation.systems.fusion import Weights
from launch.artifacts import write_text
from launch.errors import InputError


def trees_path(run_dir: Path) -> Path:
    """Where the trees are."""
    return run_dir / "report" / "list_ranker.txt"


def save_trees(ranker: ListRanker, run_dir: Path) -> None:
    """Write the trees, atomically."""
    write_text(trees_path(run_dir), ranker.trees.model_to_string())


def load_ranker(run_dir: Path, bank: Bank, *, depth: int, weights: Weights) -> ListRanker:
    """The trees of a run, asking `bank`. InputError if they are of other features."""
    path = trees_path(run_dir)
    try:
        trees = lightgbm.Booster(model_str=path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, lightgbm.basic.LightGBMError) as error:
        raise InputError(f"{path}: no list ranker ({error}); run `kinrec evaluate` again") from error
    if trees.feature_name() != [name.replace(" ", "_") for name in bank.names]:
        raise InputError(f"{path}: fitted on other features than this version makes; run `kinrec evaluate` again")
    return ListRanker(bank, trees, depth, weights)
