"""What the graph's evidence expects a sample to lead to: items of the target domain with probabilities.

A list of the graph stage gives its item of rank r the probability (1 / r) / (1 / 1 + ... + 1 / K). Probabilities are
whole numbers of 2^-24, so that any sum of them is exact in any order, on any number of ranks.

Lists of train samples are those made without their own users (graph/ranking/left_out.py): with them, the users would
be found who share the sample's own target because the evidence has seen it, and a language model would learn to copy.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from evaluation.ranked_lists import NO_ITEM, RankedLists, read_lists
from launch.errors import InputError
from pairs.tables import SPLITS, Ints, Samples, Split

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


def expect(items_BK: Ints, samples: Samples) -> ExpectedItems:
    """Probabilities of lists [B, K], best first, of `samples` [B]."""
    present_BK = items_BK != NO_ITEM
    rank_BK = np.cumsum(present_BK, axis=1)
    reciprocal_BK = np.where(present_BK, 1.0 / np.maximum(rank_BK, 1), 0.0)
    whole_B1 = np.maximum(reciprocal_BK.sum(axis=1, keepdims=True), 1.0)
    return ExpectedItems(items_BK, np.rint(ONE * reciprocal_BK / whole_B1).astype(np.int64))


class Expectations:
    """The lists of a run's samples, read as they are asked for."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._lists = lru_cache(maxsize=1)(self._read_lists)

    def rows(self, split: Split, samples: Samples, rows: Ints) -> ExpectedItems:
        """What `rows` of a split's samples are expected to lead to."""
        items = self._train_items(samples, rows) if split == "train" else self._items(split, samples, rows)
        return expect(items, samples.take(rows))

    def _items(self, split: Split, samples: Samples, rows: Ints) -> Ints:
        source = f"lists/{SYSTEM}_{split}.parquet"
        return self._lists(split).of_samples(samples.sample[rows], source=source).items

    def _read_lists(self, split: Split) -> RankedLists:
        return read_lists(_list_path(self._run_dir, split))

    def _train_items(self, samples: Samples, rows: Ints) -> Ints:
        folder = _train_folder(self._run_dir)
        ids: npt.NDArray[np.int64] = np.load(folder / "samples.npy", mmap_mode="r")
        if len(ids) != len(samples) or not np.array_equal(ids[rows], samples.sample[rows]):
            raise InputError(f"{folder}: not of the samples of pair/train.parquet; run `kinrec pretrain` again")
        items: npt.NDArray[np.int32] = np.load(folder / "items.npy", mmap_mode="r")
        return items[rows].astype(np.int64)


def has_expectations(run_dir: Path) -> bool:
    """Whether the graph stage left the lists: it does where its model has evidence."""
    lists = [_list_path(run_dir, split) for split in SPLITS if split != "train"]
    return all(path.is_file() for path in [*lists, _train_folder(run_dir) / "items.npy"])


def _list_path(run_dir: Path, split: Split) -> Path:
    return run_dir / "lists" / f"{SYSTEM}_{split}.parquet"


def _train_folder(run_dir: Path) -> Path:
    return run_dir / "graph" / "left_out"
