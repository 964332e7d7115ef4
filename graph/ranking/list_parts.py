"""Ranked lists of many samples, written by the ranks that make them and put together without any holding them all."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

from evaluation.list_parts import keeping, list_columns, read_parts
from evaluation.ranked_lists import write_list_blocks
from graph.ranking.full_ranking import Judge, Scores, SystemScores
from launch.distributed import World
from pairs.rank_parts import writing
from pairs.tables import Samples

Question: TypeAlias = tuple[Judge, Samples, Scores]
"""Samples, who judges them, by what scores."""
PARTS = Path("graph", "checkpoints", "parts")
"""Below the run folder; gone when all is put together."""


def write_ranked(run_dir: Path, name: str, asked: Iterator[Question], *, depth: int, world: World) -> None:
    """Write lists/NAME.parquet: the `depth` best items of the target domain for every sample, the history's own not
    removed. A collective.

    Args:
        asked: samples and who judges them by what scores, one group after the other, none of them twice.
    """
    write_parts(run_dir / PARTS, name, asked, depth=depth, world=world)
    if world.is_main:
        write_list_blocks(run_dir / "lists" / f"{name}.parquet", read_parts(run_dir / PARTS, name, depth, world))
    world.barrier()


def write_systems(
    run_dir: Path,
    of_what: str,
    judge: Judge,
    samples: Samples,
    scores: SystemScores,
    systems: Iterable[str],
    *,
    depth: int,
) -> None:
    """Write lists/SYSTEM_OF_WHAT.parquet of several systems, alike; a collective."""
    world, names = judge.world, {system: f"{system}_{of_what}" for system in systems}
    with keeping(run_dir / PARTS, names.values(), depth, world) as keep:
        for lists in judge.own_lists_of(samples, depth, scores):
            for system, name in names.items():
                keep(name, lists[system])
    if world.is_main:
        for name in names.values():
            write_list_blocks(run_dir / "lists" / f"{name}.parquet", read_parts(run_dir / PARTS, name, depth, world))
    world.barrier()


def write_parts(folder: Path, name: str, asked: Iterator[Question], *, depth: int, world: World) -> None:
    """This rank's lists, in files of its own; a collective."""
    with writing(folder, name, list_columns(depth), world) as part:
        for judge, samples, scores in asked:
            for lists in judge.own_lists(samples, depth, scores=scores):
                part.add(lists.sample, items=lists.items, scores=lists.scores)
            del judge, samples, scores  # before the next ones are made: their graphs may be as large as train's
