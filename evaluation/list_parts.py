"""Ranked lists of many samples, written by the ranks that make them and put together without any holding them all."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from evaluation.ranked_lists import RankedLists, write_list_blocks
from launch.distributed import World
from pairs.rank_parts import PartColumn, PartColumns, joined, writing


def list_columns(depth: int) -> PartColumns:
    """Of lists that are `depth` long at most."""
    return {"items": PartColumn(np.int32, depth), "scores": PartColumn(np.float32, depth)}


def read_parts(folder: Path, name: str, depth: int, world: World) -> Iterator[RankedLists]:
    """All ranks' lists by rising sample id, some at a time; their files are gone then."""
    for sample_N, values in joined(folder, name, list_columns(depth), world.size):
        yield RankedLists(sample_N, values["items"].astype(np.int64), values["scores"])


def write_own_lists(path: Path, own: RankedLists, *, folder: Path, world: World) -> None:
    """Write the lists of all ranks, each of which has its own, by sample; a collective.

    Args:
        folder: where the ranks' files are meanwhile; it is gone afterwards, and what a killed start has left there.
    """
    if world.is_main:
        shutil.rmtree(folder, ignore_errors=True)
    world.barrier()
    with writing(folder, path.stem, list_columns(own.depth), world) as part:
        part.add(own.sample, items=own.items, scores=own.scores)
    if world.is_main:
        write_list_blocks(path, read_parts(folder, path.stem, own.depth, world))
        shutil.rmtree(folder)
    world.barrier()
