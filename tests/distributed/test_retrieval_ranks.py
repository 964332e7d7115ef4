"""Neighbours do not depend on the number of ranks, nor on a kill in the middle."""

import os
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from launch.artifacts import sha256_file
from launch.distributed import World
from launch.tracking import Tracker
from retrieval.config import RetrievalConfig
from retrieval.fixed_point import Floats, to_grid, to_unit_length
from retrieval.indexes.build import index_of
from retrieval.indexes.config import IndexConfig
from retrieval.indexes.sharded import ShardedIndex
from retrieval.indexes.topk import Ints
from retrieval.neighbours import retrieve
from retrieval.turns import even_cuts
from tests.ranks import rank_context, run_ranks
from tests.retrieval_runs import write_expected, write_run

ALONE = World(rank=0, size=1, local_rank=0, device=torch.device("cpu"))
EXACT = {name: IndexConfig(kind="exact", backend=name) for name in ("torch", "faiss")}
CONFIG = RetrievalConfig(num_neighbours=4, block=7, item_dim=8, text_dim=6, quality_at=[1, 2])
FEW_HOLDERS = replace(CONFIG, most_holders=12)
BY_LISTS = replace(CONFIG, index=IndexConfig(kind="ivf_flat", nlist=6, nprobe=2))
ONE_A_BLOCK = RetrievalConfig(num_neighbours=4, block=1, item_dim=8, text_dim=6)


def digests(run_dir: Path) -> dict[str, str]:
    folder = run_dir / "neighbours"
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in folder.rglob("*") if path.is_file()}


def keys_and_queries() -> tuple[Floats, Floats]:
    random = np.random.default_rng(0)
    keys = np.concatenate([random.normal(size=(40, 6)), np.ones((12, 6))])[random.permutation(52)]  # twelve are equal
    queries = np.concatenate([random.normal(size=(10, 6)), np.ones((1, 6))])
    return to_grid(to_unit_length(keys.astype(np.float32))), to_grid(to_unit_length(queries.astype(np.float32)))


def whole(world: World, own: tuple[Floats, Ints]) -> tuple[Floats, Ints]:
    scores, ids = (torch.cat(world.gather(torch.from_numpy(part))).numpy() for part in own)
    return scores, ids


def search_and_retrieve(world: World, run_dirs: list[Path]) -> list[tuple[Floats, Ints]]:
    keys, queries = keys_and_queries()
    share = world.share(len(keys))
    results = []
    for kind in EXACT:
        shard = index_of(
            EXACT[kind], keys[share.start : share.stop], np.arange(share.start, share.stop), device=world.device
        ).index
        index = ShardedIndex(world, shard)
        for k in (1, 5, 30, 60):
            own = index.search(queries, k, cuts=even_cuts(len(queries), world.size))
            results.append(whole(world, own))
    for run_dir in run_dirs:
        config = BY_LISTS if "lists" in run_dir.name else FEW_HOLDERS if "few" in run_dir.name else CONFIG
        retrieve(config, run_dir=run_dir, seed=5, world=world, tracker=Tracker(None, "retrieve"))
    return results


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 3])
def test_any_number_of_ranks_writes_the_same_bytes(tmp_path: Path, size: int) -> None:
    pairs = {"vectors": False, "timed vectors": True, "plain": False, "timed": True, "lists of vectors": True}
    pairs |= {"few": False, "few timed": True}
    for name, timed in pairs.items():
        write_run(tmp_path / "alone" / name, timed=timed)
        if "vectors" not in name:
            write_expected(tmp_path / "alone" / name)
        shutil.copytree(tmp_path / "alone" / name, tmp_path / "ranks" / name)
    expected = search_and_retrieve(ALONE, [tmp_path / "alone" / name for name in pairs])
    results = run_ranks(search_and_retrieve, size, [tmp_path / "ranks" / name for name in pairs])
    for result in results:
        for (scores, ids), (expected_scores, expected_ids) in zip(result, expected, strict=True):
            assert np.array_equal(ids, expected_ids)
            assert np.array_equal(scores, expected_scores)
    for name in pairs:
        assert digests(tmp_path / "ranks" / name) == digests(tmp_path / "alone" / name)


def retrieve_alone(run_dir: Path) -> None:
    retrieve(ONE_A_BLOCK, run_dir=run_dir, seed=5, world=ALONE, tracker=Tracker(None, "retrieve"))


@pytest.mark.slow
def test_a_killed_stage_started_again_writes_the_same_bytes(tmp_path: Path) -> None:
    write_run(tmp_path / "whole")
    write_expected(tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    retrieve_alone(tmp_path / "whole")
    process = rank_context().Process(target=retrieve_alone, args=(tmp_path / "killed",))
    process.start()
    parts = tmp_path / "killed" / "neighbours" / "parts" / "train"
    deadline = time.monotonic() + 60
    while len(list(parts.glob("*.parquet"))) < 5 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert len(list(parts.glob("[0-9]*.parquet"))) >= 5
    assert not (tmp_path / "killed" / "neighbours" / "train.parquet").exists()
    retrieve_alone(tmp_path / "killed")
    assert digests(tmp_path / "killed") == digests(tmp_path / "whole")
