"""User vectors of any sample: the parts in use, each of length one and weighted, side by side on the grid.

With the square roots of weights that sum to 1 in front of the parts, one inner product of two such vectors is the
weighted mean of the parts' cosines.
"""

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from launch.artifacts import atomic_file
from launch.distributed import World
from launch.errors import InputError
from pairs.tables import Ints, Items, Samples, Split
from retrieval.config import RetrievalConfig
from retrieval.fixed_point import Floats, row_lengths, to_grid, to_unit_length
from retrieval.keys import Keys
from retrieval.projections import bag_of_items, fit_item_table, fit_text_table

log = logging.getLogger(__name__)


class Part(Protocol):
    """One way to compare users."""

    def rows(self, split: Split, samples: Samples, rows: Ints, domain: int) -> Floats:
        """Vectors [len(rows), d] towards `domain`, of any length."""
        ...


class ModelPart:
    """The graph model's vectors, opened by memory map: only the rows asked for are read. Joined by sample id."""

    def __init__(self, run_dir: Path) -> None:
        self._folder = run_dir / "graph" / "vectors"

    def rows(self, split: Split, samples: Samples, rows: Ints, domain: int) -> Floats:
        """See `Part`."""
        ids = self._open(split, "samples")
        places = rows
        if len(ids) < len(samples) or not np.array_equal(ids[rows], samples.sample[rows]):
            order = np.argsort(ids, kind="stable")
            places = order[np.minimum(np.searchsorted(ids, samples.sample[rows], sorter=order), len(ids) - 1)]
            if not np.array_equal(ids[places], samples.sample[rows]):
                raise InputError(f"{self._folder}: {split} samples without a vector; run `kinrec pretrain` again")
        vectors = np.asarray(self._open(split, "XY"[domain])[places], dtype=np.float32)
        if not np.isfinite(vectors).all():
            raise InputError(f"{self._folder}/{split}_{'XY'[domain]}.npy: not finite; run `kinrec pretrain` again")
        return vectors

    def _open(self, split: Split, name: str) -> npt.NDArray[np.generic]:
        path = self._folder / f"{split}_{name}.npy"
        if not path.is_file():
            raise InputError(f"{path}: no such file; run `kinrec pretrain` first")
        opened: npt.NDArray[np.generic] = np.load(path, mmap_mode="r")
        return opened


class BagPart:
    """The sum of an item table's rows over the history; the same towards both domains."""

    def __init__(self, table: Floats) -> None:
        """`table` is [I, d], often a memory map."""
        self._table = table

    def rows(self, split: Split, samples: Samples, rows: Ints, domain: int) -> Floats:
        """See `Part`."""
        return self.of_histories(samples, rows)

    def of_histories(self, samples: Samples, rows: Ints) -> Floats:
        """Vectors [len(rows), d]. Only the table's rows that the histories hold are read."""
        kept = samples.take(rows)
        items, kept_items = np.unique(kept.history, return_inverse=True)
        held = dataclasses.replace(kept, history=kept_items.astype(np.int64))
        bags = bag_of_items(held, np.arange(len(held)), num_items=len(items))
        return np.asarray(bags @ np.ascontiguousarray(self._table[items]), dtype=np.float32)


class UserVectors:
    """Vectors that an index is built of and asked with."""

    def __init__(self, parts: Mapping[str, Part], weights: Mapping[str, float]) -> None:
        self.parts = parts
        self.weights = weights

    def rows(self, split: Split, samples: Samples, rows: Ints, domain: int) -> Floats:
        """Query vectors [len(rows), d]: of length one, or shorter where a part is all zeros."""
        parts = {name: part.rows(split, samples, rows, domain) for name, part in self.parts.items()}
        return combine(parts, self.weights)


class KeysByLength:
    """Inner product instead of cosine: a key keeps its length, relative to the longest key."""

    def __init__(self, part: Part, longest: float) -> None:
        self._part = part
        self._longest = longest

    def rows(self, split: Split, samples: Samples, rows: Ints, domain: int) -> Floats:
        """Key vectors [len(rows), d], no longer than one."""
        return to_grid((self._part.rows(split, samples, rows, domain) / self._longest).astype(np.float32))


def combine(parts: Mapping[str, Floats], weights: Mapping[str, float]) -> Floats:
    """Each part [N, d_p] to length one times the root of its weight, side by side, on the grid: [N, sum of d_p]."""
    roots = {name: np.float32(np.sqrt(weight)) for name, weight in weights.items()}
    return to_grid(np.concatenate([to_unit_length(parts[name]) * root for name, root in roots.items()], axis=1))


def fit_tables(
    run_dir: Path, config: RetrievalConfig, *, items: Items, train: Samples, keys: Keys, seed: int, world: World
) -> dict[str, float]:
    """Fit the item tables that the configuration needs, on rank 0, unless an earlier start has left them.

    Returns the weights of the parts in use, which sum to 1: without text where no word is in two titles.
    """
    used = config.part_weights()
    if world.is_main:
        if "items" in used and not _table_path(run_dir, "items").is_file():
            table = fit_item_table(
                train, keys, num_items=items.num_items, dim=config.item_dim, max_rows=config.max_fit_rows, seed=seed
            )
            _save(_table_path(run_dir, "items"), table)
        if "text" in used and not _table_path(run_dir, "text").is_file():
            table = fit_text_table(items, dim=config.text_dim, max_rows=config.max_fit_rows, seed=seed)
            _save(_table_path(run_dir, "text"), table)
    world.barrier()
    if "text" not in used or _open_table(run_dir, "text").shape[1]:
        return used
    others = {name: weight for name, weight in used.items() if name != "text"}
    if not others:
        raise InputError("retrieval.vectors=text: no word is in two titles of train; compare by items or model")
    log.warning("no word is in two titles of train: users are compared without text")
    return {name: weight / sum(others.values()) for name, weight in others.items()}


def open_vectors(run_dir: Path, weights: Mapping[str, float]) -> UserVectors:
    """The parts named in `weights`, once `fit_tables` has run."""
    parts: dict[str, Part] = {}
    for name in weights:
        parts[name] = ModelPart(run_dir) if name == "model" else BagPart(_open_table(run_dir, name))
    return UserVectors(parts, weights)


def key_source(vectors: UserVectors, *, longest: float | None) -> Part:
    """Where key vectors come from: as the queries', or with their own lengths where `longest` is known."""
    return vectors if longest is None else KeysByLength(vectors.parts["model"], longest)


def longest_key(vectors: UserVectors, train: Samples, keys: Keys, *, world: World) -> float:
    """The length of the longest model vector among the keys, over both domains; each rank reads its share."""
    share = world.share(len(keys))
    rows = keys.row[share.start : share.stop]
    part = vectors.parts["model"]
    own = max(float(row_lengths(part.rows("train", train, rows, domain)).max(initial=0.0)) for domain in (0, 1))
    return max(1e-12, *map(float, world.gather_objects(own)))


def _table_path(run_dir: Path, name: str) -> Path:
    return run_dir / "neighbours" / "vectors" / f"{name}.npy"


def _save(path: Path, table: Floats) -> None:
    with atomic_file(path) as partial, partial.open("wb") as file:
        np.save(file, np.ascontiguousarray(table))  # a row in one place, for those who read a few


def _open_table(run_dir: Path, name: str) -> Floats:
    table: Floats = np.load(_table_path(run_dir, name), mmap_mode="r")
    return table
