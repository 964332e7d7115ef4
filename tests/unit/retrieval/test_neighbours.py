"""The stage: tables in the contract's form, resumed and repeated to the same bytes, and questions to a finished run."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from launch.artifacts import read_json, sha256_file
from launch.distributed import World
from launch.errors import InputError
from launch.tracking import Tracker
from pairs.row_parts import part_path
from pairs.tables import SPLITS, load_samples
from retrieval.config import RetrievalConfig
from retrieval.lookup import KindredLookup
from retrieval.neighbour_tables import GROUP_ROWS, NeighbourTable, join_parts, parts_folder, write_part
from retrieval.neighbours import retrieve
from tests.retrieval_runs import NUM_X, write_run

ALONE = World(rank=0, size=1, local_rank=0, device=torch.device("cpu"))
CONFIG = RetrievalConfig(num_neighbours=4, block=7, item_dim=8, text_dim=6, quality_at=[1, 2])


def run(run_dir: Path, config: RetrievalConfig = CONFIG) -> dict[str, str]:
    """Run the stage; digests of its files."""
    retrieve(config, run_dir=run_dir, seed=5, world=ALONE, tracker=Tracker(None, "retrieve"))
    folder = run_dir / "neighbours"
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in folder.rglob("*") if path.is_file()}


def test_every_sample_of_every_split_gets_other_users_nearest_first(tmp_path: Path) -> None:
    write_run(tmp_path)
    files = run(tmp_path)
    assert set(files) == {
        *(f"{split}.parquet" for split in SPLITS), "quality.json", "meta.json", "vectors/items.npy", "vectors/text.npy"
    }  # fmt: skip
    train = load_samples(tmp_path, "train")
    user_of = dict(zip(train.sample.tolist(), train.user.tolist(), strict=True))
    for split in SPLITS:
        samples = load_samples(tmp_path, split)
        table = pq.read_table(tmp_path / "neighbours" / f"{split}.parquet").to_pydict()
        assert table["sample"] == samples.sample.tolist()
        for user, neighbours, scores in zip(
            samples.user.tolist(), table["neighbour_samples"], table["scores"], strict=True
        ):
            users = [user_of[sample] for sample in neighbours]
            assert len(set(users)) == 4
            assert user not in users
            assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("vectors", ["model", "items"])
def test_faiss_and_torch_write_the_same_bytes(tmp_path: Path, vectors: Literal["model", "items"]) -> None:
    write_run(tmp_path)
    first = run(tmp_path, RetrievalConfig(vectors=vectors, num_neighbours=4, block=9, index="torch"))
    for split in SPLITS:
        (tmp_path / "neighbours" / f"{split}.parquet").unlink()
    assert run(tmp_path, RetrievalConfig(vectors=vectors, num_neighbours=4, block=9, index="faiss")) == first


def test_vectors_towards_the_targets_domain_are_used(tmp_path: Path) -> None:
    write_run(tmp_path)
    run(tmp_path, RetrievalConfig(vectors="model", num_neighbours=4))
    twins = NeighbourTable(tmp_path, "test").block(0, 4)[1].reshape(-1, 2, 4)  # one history, targets in X and in Y
    assert not np.array_equal(twins[:, 0], twins[:, 1])


def test_blocks_that_an_earlier_start_finished_are_kept(tmp_path: Path) -> None:
    write_run(tmp_path)
    run(tmp_path)
    whole = pq.read_table(tmp_path / "neighbours" / "test.parquet").to_pydict()
    (tmp_path / "neighbours" / "test.parquet").unlink()
    sample, neighbours = load_samples(tmp_path, "test").sample[7:14], np.array(whole["neighbour_samples"][7:14])
    marked = np.full(neighbours.shape, 9.0, np.float32)
    write_part(
        part_path(parts_folder(tmp_path, "test"), range(7, 14)), sample=sample, neighbours=neighbours, scores=marked
    )
    run(tmp_path)
    written = pq.read_table(tmp_path / "neighbours" / "test.parquet").to_pydict()
    assert written["scores"] == whole["scores"][:7] + marked.tolist() + whole["scores"][14:]
    assert written["neighbour_samples"] == whole["neighbour_samples"]


def test_quality_has_every_split_beside_chance(tmp_path: Path) -> None:
    write_run(tmp_path)
    run(tmp_path)
    quality = read_json(tmp_path / "neighbours" / "quality.json")
    assert set(quality) == set(SPLITS)
    for split in SPLITS:
        assert quality[split]["num_samples"] == len(load_samples(tmp_path, split))
        assert {"hit_rate", "mean_length", "uhr", "random_hit_rate", "hit_rate@1", "hit_rate@2"} <= set(quality[split])
        assert quality[split]["hit_rate@1"] <= quality[split]["hit_rate@2"] <= quality[split]["hit_rate"]


def test_with_times_no_neighbour_ends_after_the_target(tmp_path: Path) -> None:
    write_run(tmp_path, timed=True)
    run(tmp_path)
    train = load_samples(tmp_path, "train")
    assert train.history_time is not None
    last = dict(zip(train.sample.tolist(), train.history_time[train.offsets[1:] - 1].tolist(), strict=True))
    rows = 0
    for split in SPLITS:
        times = load_samples(tmp_path, split).target_time
        assert times is not None
        table = pq.read_table(tmp_path / "neighbours" / f"{split}.parquet").to_pydict()
        for neighbours, time in zip(table["neighbour_samples"], times.tolist(), strict=True):
            assert all(last[sample] < time for sample in neighbours)
            rows += len(neighbours) == 4
    assert rows > 50
    assert read_json(tmp_path / "neighbours" / "meta.json")["past_only"] is True
    num_short = sum(part["num_short"] for part in read_json(tmp_path / "neighbours" / "quality.json").values())
    assert num_short == sum(len(load_samples(tmp_path, split)) for split in SPLITS) - rows > 0


def test_past_only_needs_times(tmp_path: Path) -> None:
    write_run(tmp_path)
    with pytest.raises(InputError, match=r"retrieval\.past_only"):
        run(tmp_path, RetrievalConfig(past_only=True))


def test_one_train_user_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path, num_train_users=1)
    with pytest.raises(InputError, match="at least two train users"):
        run(tmp_path)


def test_model_vectors_that_are_missing_are_named(tmp_path: Path) -> None:
    write_run(tmp_path)
    (tmp_path / "graph" / "vectors" / "train_Y.npy").unlink()
    with pytest.raises(InputError, match=r"train_Y\.npy: no such file; run `kinrec pretrain` first"):
        run(tmp_path)


@pytest.mark.parametrize(
    "config",
    [CONFIG, RetrievalConfig(vectors="model", similarity="inner_product", num_neighbours=4)],
    ids=["hybrid", "inner_product"],
)
def test_a_lookup_finds_what_the_table_holds(tmp_path: Path, config: RetrievalConfig) -> None:
    write_run(tmp_path)
    run(tmp_path, config)
    test = load_samples(tmp_path, "test")
    lookup = KindredLookup(tmp_path)
    table = pq.read_table(tmp_path / "neighbours" / "test.parquet").to_pydict()
    for row in (0, 1, 7):
        domain = int(test.target[row] >= NUM_X)
        model_vector = np.load(tmp_path / "graph" / "vectors" / f"test_{'XY'[domain]}.npy")[row]
        nearest = lookup.nearest(test.history_of(row).tolist(), domain=domain, model_vector=model_vector, k=4)
        assert [user.sample for user in nearest] == table["neighbour_samples"][row]
        assert [user.score for user in nearest] == table["scores"][row]
        assert all(len(user.titles) == len(user.items) > 0 for user in nearest)


@pytest.mark.parametrize("block", [3, 16])
def test_a_start_with_another_block_keeps_parts_and_writes_the_same_bytes(tmp_path: Path, block: int) -> None:
    write_run(tmp_path / "run")
    whole = run(tmp_path / "run")
    table = tmp_path / "run" / "neighbours" / "test.parquet"
    rows = pq.read_table(table).slice(7, 7)
    table.unlink()
    part = part_path(parts_folder(tmp_path / "run", "test"), range(7, 14))
    marked = np.array(rows["scores"].to_pylist(), np.float32) + 1
    neighbours = np.array(rows["neighbour_samples"].to_pylist())
    write_part(part, sample=np.array(rows["sample"]), neighbours=neighbours, scores=marked)
    run(tmp_path / "run", replace(CONFIG, block=block))
    assert pq.read_table(table).slice(7, 7)["scores"].to_pylist() == marked.tolist(), "the part was made again"
    table.unlink()
    write_part(part, sample=np.array(rows["sample"]), neighbours=neighbours, scores=marked - 1)
    assert run(tmp_path / "run", replace(CONFIG, block=block)) == whole


def test_row_groups_do_not_tell_how_large_the_parts_were(tmp_path: Path) -> None:
    digests = set()
    for size in (1000, GROUP_ROWS, 5000):
        parts = []
        for start in range(0, 2 * GROUP_ROWS + 10, size):
            sample = np.arange(start, min(start + size, 2 * GROUP_ROWS + 10))
            parts.append(tmp_path / f"{size}-{start}.parquet")
            scores = np.ones((len(sample), 2), np.float32)
            write_part(parts[-1], sample=sample, neighbours=np.stack([sample, sample + 1], axis=1), scores=scores)
        join_parts(tmp_path / "joined.parquet", parts)
        digests.add(sha256_file(tmp_path / "joined.parquet"))
    metadata = pq.ParquetFile(tmp_path / "joined.parquet").metadata
    assert [metadata.row_group(group).num_rows for group in range(3)] == [GROUP_ROWS, GROUP_ROWS, 10]
    assert len(digests) == 1
