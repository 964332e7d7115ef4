"""The list ranker in a run folder: LightGBM's own text, and a seal.

LightGBM reads beyond the end of a text that is cut or made up, so a text is read only if this user wrote it so.
"""

from pathlib import Path

import lightgbm

from evaluation.list_ranker.bank import Bank
from evaluation.list_ranker.final import ListRanker
from evaluation.systems.fusion import Weights
from launch.artifacts import write_json, write_text
from launch.errors import InputError
from launch.seals import digest_files, first_difference, read_seal, seal_files
from launch.state_key import state_key

TREES_FILE = "list_ranker.txt"
SEAL_FILE = "list_ranker.seal.json"


def remove_trees(run_dir: Path) -> None:
    """No list ranker: what an earlier start left goes."""
    for name in (SEAL_FILE, TREES_FILE):
        (run_dir / "report" / name).unlink(missing_ok=True)


def save_trees(ranker: ListRanker, run_dir: Path) -> None:
    """Write the trees, then their seal."""
    folder = run_dir / "report"
    write_text(folder / TREES_FILE, ranker.trees.model_to_string())
    write_json(folder / SEAL_FILE, seal_files(folder, [TREES_FILE], key=state_key()))


def load_ranker(run_dir: Path, bank: Bank, *, depth: int, weights: Weights) -> ListRanker:
    """The trees of a run, asking `bank`. InputError if this user did not write them so, or they ask other features."""
    folder = run_dir / "report"
    path = folder / TREES_FILE
    cure = f"run `kinrec evaluate {run_dir / 'recipe.yaml'}` again"
    try:
        why = first_difference(read_seal(folder / SEAL_FILE, key=state_key()), digest_files(folder, [TREES_FILE]))
    except (OSError, ValueError) as error:
        why = str(error)
    if why is not None:
        raise InputError(f"{path}: not as this user wrote it on this machine ({why}); {cure}")
    trees = lightgbm.Booster(model_str=path.read_text(encoding="utf-8"))
    if trees.feature_name() != [name.replace(" ", "_") for name in bank.names]:
        raise InputError(f"{path}: fitted on other features than this version makes; {cure}")
    return ListRanker(bank, trees, depth, weights)
