"""What late interaction learns from: train samples, each with tables that were told nothing of it.

The blocks are those of the list ranker (evaluation/list_ranker/blocks.py): parts of the users or, on a chronological
pair, spans of time. A block keeps the nearest items of those in its own histories, and no tables.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from evaluation.list_ranker.blocks import FitBlock
from graph.kept_arrays import is_whole
from graph.late.interaction import VoteGraph, vote_graphs
from graph.late.item_tables import factorise, item_tables
from graph.late.nearest import PARTS, NearestItems
from graph.words import Floats
from launch.artifacts import atomic_file
from launch.watch.beats import long
from pairs.known import with_others
from pairs.ragged import rows_of
from pairs.tables import Items


@dataclass(frozen=True)
class LeftOut:
    """Votes for samples of train, by the block that a sample is of."""

    sample: Tensor  # [N], ascending
    block: Tensor  # [N]
    votes: tuple[tuple[VoteGraph, VoteGraph], ...]

    def block_of(self, sample_B: Tensor) -> Tensor:
        """[B]; -1 for a sample of no block."""
        row_B = torch.searchsorted(self.sample, sample_B).clamp_max(len(self.sample) - 1)
        return torch.where(self.sample[row_B] == sample_B, self.block[row_B], -1)


def write_left_out(
    folder: Path, blocks: list[FitBlock], items: Items, words_IK: Floats, *, dim: int, depth: int, max_history: int
) -> None:
    """`block-N.npz` of every block that has none yet, or a damaged one; one rank does this."""
    for number, block in enumerate(blocks):
        path = _path(folder, number)
        if is_whole(path):
            continue
        with long(f"left out {number}"):  # each a sign of life: the other ranks wait for all of them
            columns = _columns(block, items, words_IK, dim=dim, depth=depth, max_history=max_history)
        with atomic_file(path) as partial, partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **columns)


def read_left_out(folder: Path, blocks: list[FitBlock], items: Items) -> LeftOut:
    """What `write_left_out` left, on the CPU."""
    votes = []
    for number in range(len(blocks)):
        with np.load(_path(folder, number), allow_pickle=False) as kept:
            columns = {name: torch.from_numpy(kept[name]) for name in kept.files}
        x_graph, y_graph = (_graph(columns, letter, items.ids(domain)) for domain, letter in enumerate("XY"))
        votes.append((x_graph, y_graph))
    sample = np.concatenate([block.asked.sample for block in blocks])
    number_N = rows_of(np.array([len(block.asked) for block in blocks]))
    order = np.argsort(sample)
    return LeftOut(torch.from_numpy(sample[order]), torch.from_numpy(number_N[order].astype(np.int64)), tuple(votes))


def _columns(
    block: FitBlock, items: Items, words_IK: Floats, *, dim: int, depth: int, max_history: int
) -> dict[str, npt.NDArray[Any]]:  # Any: ids, counts and cosines
    """What the tables of a block say of the items in its own histories, as arrays."""
    known = with_others(block.known, block.others)
    with long("tables"):
        tables = item_tables(factorise(known, items, dim=dim), words_IK, known)
    del known
    asked = torch.from_numpy(np.unique(block.asked.recent(max_history, items.pad)))
    columns: dict[str, npt.NDArray[Any]] = {}
    for letter, graph in zip("XY", vote_graphs(tables, items.num_x, depth=depth), strict=True):
        with long("nearest"):
            graph.nearest.find(asked[asked != items.pad])
        for name, part in graph.nearest.parts.items():
            columns[f"{letter}_{name}"] = part.numpy()
        columns[f"{letter}_users"] = graph.num_users.numpy()
    return columns


def _path(folder: Path, number: int) -> Path:
    return folder / f"block-{number}.npz"


def _graph(columns: dict[str, Tensor], letter: str, ids: range) -> VoteGraph:
    parts = [columns[f"{letter}_{name}"] for name in PARTS]
    return VoteGraph(NearestItems(ids, 0, None, *parts), columns[f"{letter}_users"])
