"""Write what other stages read: user vectors of every sample, put together from the ranks' parts."""

import os
from pathlib import Path

import numpy as np

from graph.ranking.full_ranking import Judge
from launch.artifacts import atomic_file, atomic_folder
from launch.distributed import World
from launch.watch.beats import beat
from pairs.tables import SPLITS, Samples, load_samples

PARTS = Path("graph", "checkpoints", "parts")
"""Below the run folder; gone when all is put together."""


def export_vectors(judge: Judge, run_dir: Path) -> None:
    """`graph/vectors/{split}_{samples,X,Y}.npy`, rows in the split's order; published whole, by rename."""
    world, parts = judge.world, run_dir / PARTS
    parts.mkdir(parents=True, exist_ok=True)
    width = judge.ranker.vector_width
    loaded = {split: load_samples(run_dir, split) for split in SPLITS}
    for split, samples in loaded.items():
        _write_part(judge, parts / f"{split}.{world.rank}.npy", samples, is_train=split == "train", width=width)
    world.barrier()
    if world.is_main:
        with atomic_folder(run_dir / "graph" / "vectors") as folder:
            for split, samples in loaded.items():
                np.save(folder / f"{split}_samples.npy", samples.sample)
                beat(phase="export")
                _assemble(parts, folder, split, num_samples=len(samples), width=width, world=world)
        for path in parts.iterdir():
            path.unlink()
        parts.rmdir()
    world.barrier()


def _write_part(judge: Judge, path: Path, samples: Samples, *, is_train: bool, width: int) -> None:
    """This rank's rows: [n, 1 + 2 width], the row number (exact in float64), then both vectors."""
    part = [np.zeros((0, 1 + 2 * width))]
    for rows, x_BK, y_BK in judge.vectors(samples, is_train=is_train):
        part.append(np.concatenate([rows[:, None], x_BK.cpu().numpy(), y_BK.cpu().numpy()], axis=1))
    with atomic_file(path) as partial, partial.open("wb") as file:
        np.save(file, np.concatenate(part))


def _assemble(parts: Path, folder: Path, split: str, *, num_samples: int, width: int, world: World) -> None:
    both = [_reserve(folder / f"{split}_{domain}.npy", (num_samples, width)) for domain in "XY"]
    written = 0
    for rank in range(world.size):
        part = np.load(parts / f"{split}.{rank}.npy", mmap_mode="r")
        rows = part[:, 0].astype(np.int64)
        for domain, vectors in enumerate(both):
            vectors[rows] = part[:, 1 + domain * width : 1 + (domain + 1) * width]
        written += len(rows)
    assert written == num_samples, (written, num_samples)
    for vectors in both:
        vectors.flush()


def _reserve(path: Path, shape: tuple[int, int]) -> "np.memmap[tuple[int, int], np.dtype[np.float32]]":
    """A table to fill whose room on the disk is taken now: a full disk is an error here, not a bus error later."""
    vectors = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    with path.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return vectors
