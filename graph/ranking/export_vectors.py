"""Write what other stages read: user vectors of every sample, put together from the ranks' parts."""

from pathlib import Path

import numpy as np

from graph.ranking.full_ranking import Judge
from graph.ranking.list_parts import PARTS
from graph.ranking.reserved import reserve
from launch.artifacts import atomic_folder
from pairs.draws import sample_of_users
from pairs.known import load_kindred
from pairs.rank_parts import PartColumn, joined, writing
from pairs.tables import Samples, Split, load_samples

HELD_OUT: tuple[Split, ...] = ("valid", "test")


def export_vectors(judge: Judge, run_dir: Path, *, seed: int, held_out: int | None = None) -> None:
    """`graph/vectors/{split}_{samples,X,Y}.npy`, rows in the split's order, those of train with who else may be
    kindred behind them; published whole, by rename.

    Args:
        held_out: samples of valid, and of test, that are asked about, as in `export_lists`.
    """
    world, parts = judge.world, run_dir / PARTS
    columns = {domain: PartColumn(np.float32, judge.ranker.vector_width) for domain in "XY"}
    loaded: dict[Split, Samples] = {"train": load_kindred(run_dir)}
    for split in HELD_OUT:
        loaded[split] = sample_of_users(load_samples(run_dir, split), held_out, seed)
    for split, samples in loaded.items():
        with writing(parts, f"{split}_vectors", columns, world) as part:
            for rows, x_BK, y_BK in judge.vectors(samples, is_train=split == "train"):
                part.add(rows, X=x_BK.cpu().numpy(), Y=y_BK.cpu().numpy())
    if world.is_main:
        with atomic_folder(run_dir / "graph" / "vectors") as folder:
            for split, samples in loaded.items():
                np.save(folder / f"{split}_samples.npy", samples.sample)
                _join(parts, folder, split, samples, columns, ranks=world.size)
        parts.rmdir()
    world.barrier()


def _join(
    parts: Path, folder: Path, split: str, samples: Samples, columns: dict[str, PartColumn], *, ranks: int
) -> None:
    tables = {
        domain: reserve(folder / f"{split}_{domain}.npy", (len(samples), column.width), np.float32)
        for domain, column in columns.items()
    }
    written = 0
    for row_N, values in joined(parts, f"{split}_vectors", columns, ranks):
        for domain, table in tables.items():
            table[row_N] = values[domain]
        written += len(row_N)
    assert written == len(samples), (written, len(samples))
    for table in tables.values():
        table.flush()
