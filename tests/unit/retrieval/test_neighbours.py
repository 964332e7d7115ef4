"""The stage: tables in the contract's form, resumed and repeated to the same bytes, and questions to a finished run."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from evaluation.ranked_lists import read_lists
from launch.artifacts import read_json, sha256_file
from launch.distributed import World
from launch.errors import InputError
from launch.tracking import Tracker
from pairs.row_parts import part_path
from pairs.tables import SPLITS, load_samples
from retrieval.config import RetrievalConfig
from retrieval.indexes.config import IndexConfig
from retrieval.lookup import KindredLookup
from retrieval.neighbour_tables import GROUP_ROWS, NeighbourTable, join_parts, parts_folder, write_part
from retrieval.neighbours import retrieve
from tests.retrieval_runs import NUM_X, write_expected, write_run

ALONE = World(rank=0, size=1, local_rank=0, device=torch.device("cpu"))
CONFIG = RetrievalConfig(num_neighbours=4, block=7, item_dim=8, text_dim=6, quality_at=[1, 2])


def run(run_dir: Path, config: RetrievalConfig = CONFIG) -> dict[str, str]:
    """Run the stage; digests of its files."""
    retrieve(config, run_dir=run_dir, seed=5, world=ALONE, tracker=Tracker(None, "retrieve"))
    folder = run_dir / "neighbours"
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("expecting", [True, False])
def test_every_sample_of_every_split_gets_other_users_nearest_first(tmp_path: Path, expecting: bool) -> None:
    write_run(tmp_path)
    if expecting:
        write_expected(tmp_path)
    files = run(tmp_path)
    assert set(files) == {
        *(f"{split}.parquet" for split in SPLITS), "quality.json", "meta.json", "keys.safetensors",
        "vectors/items.npy", "vectors/text.npy",
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


@pytest.mark.parametrize("score", ["posterior", "vectors"])
def test_train_samples_without_lists_are_kindred_users_and_ask_for_none(
    tmp_path: Path, score: Literal["posterior", "vectors"]
) -> None:
    config = replace(CONFIG, score=score)
    for name in ("all", "few"):
        write_run(tmp_path / name)
        write_expected(tmp_path / name)
    train, folder = load_samples(tmp_path / "few", "train"), tmp_path / "few" / "graph" / "left_out"
    rows = np.arange(1, len(train), 3)
    for name in ("samples", "items", "scores"):
        np.save(folder / f"{name}.npy", np.load(folder / f"{name}.npy")[rows])
    files = {name: run(tmp_path / name, config) for name in ("all", "few")}
    whole, some = (
        pq.read_table(tmp_path / name / "neighbours" / "train.parquet").to_pydict() for name in ("all", "few")
    )
    assert some["sample"] == train.sample[rows].tolist()
    for column in ("neighbour_samples", "scores"):
        assert some[column] == [whole[column][row] for row in rows]
    assert not {sample for near in some["neighbour_samples"] for sample in near} <= set(some["sample"])
    for split in ("valid", "test"):
        assert files["few"][f"{split}.parquet"] == files["all"][f"{split}.parquet"]


@pytest.mark.parametrize("vectors", ["model", "items"])
def test_faiss_and_torch_write_the_same_bytes(tmp_path: Path, vectors: Literal["model", "items"]) -> None:
    write_run(tmp_path)
    first = run(
        tmp_path, RetrievalConfig(vectors=vectors, num_neighbours=4, block=9, index=IndexConfig(backend="torch"))
    )
    for split in SPLITS:
        (tmp_path / "neighbours" / f"{split}.parquet").unlink()
    by_faiss = IndexConfig(backend="faiss", storage="float16", mapped=True)
    assert run(tmp_path, RetrievalConfig(vectors=vectors, num_neighbours=4, block=9, index=by_faiss)) == first


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


@pytest.mark.parametrize("score", ["posterior", "vectors"])
def test_with_times_no_neighbour_ends_after_the_target(tmp_path: Path, score: Literal["posterior", "vectors"]) -> None:
    write_run(tmp_path, timed=True)
    write_expected(tmp_path)
    run(tmp_path, replace(CONFIG, score=score))
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


def test_both_ways_are_judged_whichever_is_chosen(tmp_path: Path) -> None:
    qualities = {}
    scores: tuple[Literal["posterior"], Literal["vectors"]] = ("posterior", "vectors")
    for score in scores:
        write_run(tmp_path / score)
        write_expected(tmp_path / score)
        run(tmp_path / score, replace(CONFIG, score=score))
        qualities[score] = read_json(tmp_path / score / "neighbours" / "quality.json")
        assert read_json(tmp_path / score / "neighbours" / "meta.json")["score"] == score
    for split in SPLITS:
        expecting, near = qualities["posterior"][split], qualities["vectors"][split]
        assert expecting["num_compared"] == expecting["num_samples"]
        for name in ("hit_rate@1", "hit_rate", "mean_length@2", "uhr"):
            assert expecting[f"vectors_{name}"] == near[name]
            assert near[f"posterior_{name}"] == expecting[name]
            assert expecting[f"random_{name}"] == near[f"random_{name}"]
    assert qualities["posterior"]["train"]["hit_rate"] != qualities["vectors"]["train"]["hit_rate"]


@pytest.mark.parametrize("coverage", [True, False])
@pytest.mark.parametrize("recent_items", [None, 3])
def test_a_lookup_by_what_is_expected_finds_what_the_table_holds(
    tmp_path: Path, coverage: bool, recent_items: int | None
) -> None:
    write_run(tmp_path)
    write_expected(tmp_path)
    run(tmp_path, replace(CONFIG, coverage=coverage, recent_items=recent_items))
    test = load_samples(tmp_path, "test")
    lists = read_lists(tmp_path / "lists" / "evidence_test.parquet")
    lookup = KindredLookup(tmp_path)
    table = pq.read_table(tmp_path / "neighbours" / "test.parquet").to_pydict()
    for row in (0, 1, 2, 7):
        domain = int(test.domain[row])
        nearest = lookup.nearest(
            test.history_of(row).tolist(),
            domain=domain,
            model_vector=np.load(tmp_path / "graph" / "vectors" / f"test_{'XY'[domain]}.npy")[row],
            expected=lists.of_samples(test.sample[[row]]),
            k=4,
        )
        assert [user.sample for user in nearest] == table["neighbour_samples"][row]
        assert [user.score for user in nearest] == table["scores"][row]


def test_without_lists_to_expect_by_vectors_are_taken_and_a_line_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_run(tmp_path)
    files = run(tmp_path)
    assert "the graph model has no evidence" in caplog.text
    assert read_json(tmp_path / "neighbours" / "meta.json")["score"] == "vectors"
    caplog.clear()
    again = tmp_path / "again"
    write_run(again)
    by_vectors = run(again, replace(CONFIG, score="vectors"))
    assert by_vectors == files
    assert "evidence" not in caplog.text


@pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        RetrievalConfig(vectors="model", similarity="inner_product", num_neighbours=4),
        replace(CONFIG, index=IndexConfig(kind="ivf_flat", nlist=6, nprobe=2)),
        replace(CONFIG, index=IndexConfig(kind="hnsw", m=4, ef=8)),
    ],
    ids=["hybrid", "inner_product", "lists", "graph"],
)
def test_a_lookup_finds_what_the_table_holds(tmp_path: Path, config: RetrievalConfig) -> None:
    write_run(tmp_path)
    run(tmp_path, config)
    meta = read_json(tmp_path / "neighbours" / "meta.json")
    quality = read_json(tmp_path / "neighbours" / "quality.json")
    assert meta["index"]["kind"] == ("exact" if config.index.kind == "auto" else config.index.kind)
    assert all(("index_recall" in part) == (meta["index"]["kind"] != "exact") for part in quality.values())
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
