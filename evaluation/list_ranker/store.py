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

TREES_FILE = "list_ranker_{number}.txt"
SEAL_FILE = "list_ranker.seal.json"


def remove_trees(run_dir: Path) -> None:
    """No list ranker: what an earlier start left goes."""
    folder = run_dir / "report"
    for path in (folder / SEAL_FILE, *folder.glob(TREES_FILE.format(number="*"))):
        path.unlink(missing_ok=True)


def save_trees(ranker: ListRanker, run_dir: Path) -> None:
    """Write the trees, then their seal."""
    remove_trees(run_dir)
    folder = run_dir / "report"
    names = [TREES_FILE.format(number=number) for number in range(len(ranker.trees))]
    for name, trees in zip(names, ranker.trees, strict=True):
        write_text(folder / name, trees.model_to_string())
    write_json(folder / SEAL_FILE, seal_files(folder, names, key=state_key()))


def load_ranker(run_dir: Path, bank: Bank, *, depth: int, weights: Weights, by_words: bool = False) -> ListRanker:
    """The trees of a run, asking `bank`. InputError if this user did not write them so, or they ask other features."""
    folder = run_dir / "report"
    paths = sorted(folder.glob(TREES_FILE.format(number="*")))
    cure = f"run `kinrec evaluate {run_dir / 'recipe.yaml'}` again"
    try:
        why = first_difference(
            read_seal(folder / SEAL_FILE, key=state_key()), digest_files(folder, [path.name for path in paths])
        )
    except (OSError, ValueError) as error:
        why = str(error)
    if why is not None:
        raise InputError(
            f"{folder / TREES_FILE.format(number='*')}: not as this user wrote it on this machine ({why}); {cure}"
        )
    fits = tuple(lightgbm.Booster(model_str=path.read_text(encoding="utf-8")) for path in paths)
    names = [name.replace(" ", "_") for name in bank.names]
    for path, trees in zip(paths, fits, strict=True):
        if trees.feature_name() != names:
            raise InputError(f"{path}: fitted on other features than this version makes; {cure}")
    return ListRanker(bank, fits, depth, weights, by_words)
