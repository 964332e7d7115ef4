"""What the graph's evidence expects a sample to lead to: items of the target domain with probabilities.

    p(item | history) = softmax of the evidence's scores over the K items of its list that the history has not got

Probabilities are whole numbers of 2^-24, so that any sum of them is exact in any order, on any number of ranks.

Lists of train samples are those made without their own users (graph/ranking/left_out.py): with them, the users would
be found who share the sample's own target because the evidence has seen it, and a language model would learn to copy.
"""

import logging
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from evaluation.asked import load_asked
from evaluation.ranked_lists import NO_ITEM, RankedLists, read_lists
from launch.distributed import World
from launch.errors import InputError
from pairs.tables import SPLITS, Ints, Samples, Split, load_samples

log = logging.getLogger(__name__)
ONE = 2**24
"""What the probabilities of a list sum to, up to rounding."""
SYSTEM = "evidence"
"""Whose lists they are; the one system of the graph stage that can forget a user."""


@dataclass(frozen=True)
class ExpectedItems:
    """What B samples are expected to lead to."""

    items: Ints  # [B, K], each once in a row; NO_ITEM after a list's end
    weights: Ints  # [B, K], 0 after a list's end

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, rows: Ints) -> "ExpectedItems":
        """Those of some rows."""
        return ExpectedItems(self.items[rows], self.weights[rows])


def expect(lists: RankedLists, samples: Samples) -> ExpectedItems:
    """Probabilities of the lists' items for `samples`, row by row; the history's own items are left out."""
    items_BK = np.where(_in_history(lists.items, samples), NO_ITEM, lists.items)
    present_BK = items_BK != NO_ITEM
    scores_BK = np.where(present_BK, lists.scores.astype(np.float64), -np.inf)
    best_B1 = scores_BK.max(axis=1, keepdims=True, initial=-np.inf)
    odds_BK = np.exp(scores_BK - np.where(np.isfinite(best_B1), best_B1, 0.0))
    total_B1 = np.maximum(odds_BK.sum(axis=1, keepdims=True), 1.0)  # the best item's odds are 1
    return ExpectedItems(items_BK, np.rint(ONE * odds_BK / total_B1).astype(np.int64))


def _in_history(items_BK: Ints, samples: Samples) -> npt.NDArray[np.bool_]:
    """[B, K] whether an item is in the row's history."""
    width = 1 + max(int(items_BK.max(initial=0)), int(samples.history.max(initial=0)))
    row_B1 = np.arange(len(items_BK))[:, None] * width
    is_own_BK = np.isin(row_B1 + items_BK, samples.item_rows * width + samples.history)
    return np.asarray(is_own_BK & (items_BK != NO_ITEM))


class Expectations:
    """The lists of a run's samples, read as they are asked for."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._lists = lru_cache(maxsize=1)(self._read_lists)

    @property
    def depth(self) -> int:
        """Items of a list at most."""
        return int(np.load(_train_folder(self._run_dir) / "items.npy", mmap_mode="r").shape[1])

    def rows(self, split: Split, samples: Samples, rows: Ints) -> ExpectedItems:
        """What `rows` of a split's samples are expected to lead to."""
        return expect(self._lists_of(split, samples, rows), samples.take(rows))

    def _lists_of(self, split: Split, samples: Samples, rows: Ints) -> RankedLists:
        if split == "train":
            return self._train_lists(samples, rows)
        return self._lists(split).of_samples(samples.sample[rows], source=f"lists/{SYSTEM}_{split}.parquet")

    def _read_lists(self, split: Split) -> RankedLists:
        return read_lists(_list_path(self._run_dir, split))

    def _train_lists(self, samples: Samples, rows: Ints) -> RankedLists:
        folder = _train_folder(self._run_dir)
        ids, items, scores = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("samples", "items", "scores"))
        if len(ids) != len(samples) or not np.array_equal(ids[rows], samples.sample[rows]):
            raise InputError(_not_of_train(self._run_dir))
        return RankedLists(samples.sample[rows], items[rows].astype(np.int64), np.array(scores[rows]))


def load_asking(run_dir: Path, split: Split, *, has_lists: bool, world: World | None = None) -> Samples:
    """Samples of a split that kindred users are sought for, and prompts made of: all or, where the graph stage made
    lists of some alone (`graph.train_lists`, `graph.held_out_lists`), those. InputError if they are of another pair.

    Args:
        has_lists: what `has_expectations` says; to several ranks, what it says to the first.
    """
    if split != "train":
        return load_asked(run_dir, split, world)
    samples = load_samples(run_dir, split)
    if not has_lists:
        return samples
    listed = np.load(_train_folder(run_dir) / "samples.npy")
    is_listed = np.isin(samples.sample, listed)
    if int(is_listed.sum()) != len(listed):
        raise InputError(_not_of_train(run_dir))
    if len(listed) == len(samples):
        return samples
    log.info("kindred users and prompts of %d of %d train samples (graph.train_lists)", len(listed), len(samples))
    return samples.take(np.flatnonzero(is_listed))


def has_expectations(run_dir: Path) -> bool:
    """Whether the graph stage left the lists: it does where its model has evidence."""
    lists = [_list_path(run_dir, split) for split in SPLITS if split != "train"]
    return all(path.is_file() for path in [*lists, _train_folder(run_dir) / "items.npy"])


def _list_path(run_dir: Path, split: Split) -> Path:
    return run_dir / "lists" / f"{SYSTEM}_{split}.parquet"


def _not_of_train(run_dir: Path) -> str:
    return f"{_train_folder(run_dir)}: not of the samples of pair/train.parquet; run `kinrec pretrain` again"


def _train_folder(run_dir: Path) -> Path:
    return run_dir / "graph" / "left_out"
