"""Hybrid vectors: one inner product is the weighted mean of the parts' cosines; tables know train alone."""

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from launch.artifacts import read_json
from launch.distributed import ALONE
from launch.errors import InputError
from launch.tracking import Tracker
from pairs.tables import load_pair, load_samples
from retrieval.config import PartWeights, RetrievalConfig
from retrieval.fixed_point import Floats
from retrieval.keys import unique_histories
from retrieval.neighbours import retrieve
from retrieval.projections import bag_of_items, fit_item_table, fit_text_table, inverse_frequencies
from retrieval.vectors import BagPart, KeysByLength, ModelPart, UserVectors, combine
from tests.retrieval_runs import NUM_ITEMS, write_run


def cosines(left: Floats, right: Floats) -> np.typing.NDArray[np.float64]:
    wide_left, wide_right = left.astype(np.float64), right.astype(np.float64)
    wide_left /= np.linalg.norm(wide_left, axis=1, keepdims=True)
    wide_right /= np.linalg.norm(wide_right, axis=1, keepdims=True)
    return np.asarray(wide_left @ wide_right.T)


def test_inner_product_of_hybrid_vectors_is_the_weighted_mean_of_cosines() -> None:
    random = np.random.default_rng(0)
    dims = {"model": 40, "items": 7, "text": 300}
    queries = {name: (9 * random.normal(size=(6, dim))).astype(np.float32) for name, dim in dims.items()}
    keys = {name: (0.1 * random.normal(size=(8, dim))).astype(np.float32) for name, dim in dims.items()}
    weights = RetrievalConfig(weights=PartWeights(model=1.0, items=2.0, text=5.0)).part_weights()
    expected = sum(weight * cosines(queries[name], keys[name]) for name, weight in weights.items())
    assert sum(weights.values()) == pytest.approx(1.0)
    assert combine(queries, weights) @ combine(keys, weights).T == pytest.approx(expected, abs=1.5e-3)


def test_a_part_of_zeros_leaves_the_others() -> None:
    parts = {"items": np.zeros((1, 3), np.float32), "text": np.ones((1, 4), np.float32)}
    assert combine(parts, {"items": 0.5, "text": 0.5}) @ np.ones(7, np.float32) == pytest.approx(2 * 0.5**0.5, abs=2e-3)


def test_vectors_of_the_asked_domain_are_joined_by_sample_id(tmp_path: Path) -> None:
    write_run(tmp_path)
    valid = load_samples(tmp_path, "valid")
    rows = np.array([7, 2, 3])
    before = ModelPart(tmp_path).rows("valid", valid, rows, 1)
    folder = tmp_path / "graph" / "vectors"
    order = np.random.default_rng(0).permutation(len(valid))
    for name in ("samples", "X", "Y"):
        np.save(folder / f"valid_{name}.npy", np.load(folder / f"valid_{name}.npy")[order])
    assert np.array_equal(ModelPart(tmp_path).rows("valid", valid, rows, 1), before)
    assert not np.allclose(ModelPart(tmp_path).rows("valid", valid, rows, 0), before)


def test_a_sample_without_a_vector_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path)
    np.save(tmp_path / "graph" / "vectors" / "test_samples.npy", np.arange(18) + 500)
    with pytest.raises(InputError, match="test samples without a vector"):
        ModelPart(tmp_path).rows("test", load_samples(tmp_path, "test"), np.array([0]), 0)


def test_inverse_frequencies_count_each_user_once(tmp_path: Path) -> None:
    write_run(tmp_path)
    train = load_samples(tmp_path, "train")
    frequencies = inverse_frequencies(train, unique_histories(train), num_items=NUM_ITEMS)
    users = {int(user) for user in train.user}
    for item in range(NUM_ITEMS):
        holders = {int(train.user[row]) for row in range(len(train)) if item in train.history_of(row)}
        expected = np.log((1 + len(users)) / (1 + len(holders))) + 1 if holders else 0.0
        assert frequencies[item] == pytest.approx(expected)


def test_full_width_item_part_is_the_tf_idf_cosine(tmp_path: Path) -> None:
    write_run(tmp_path)
    train = load_samples(tmp_path, "train")
    keys = unique_histories(train)
    table = fit_item_table(train, keys, num_items=NUM_ITEMS, dim=NUM_ITEMS, max_rows=1000, seed=0)
    weights = inverse_frequencies(train, keys, num_items=NUM_ITEMS)
    bags = (bag_of_items(train, keys.row, num_items=NUM_ITEMS).toarray() * weights).astype(np.float32)
    projected = BagPart(table).of_histories(train, keys.row)
    assert cosines(projected, projected) == pytest.approx(cosines(bags, bags), abs=1e-4)


def test_tables_do_not_depend_on_what_is_outside_train(tmp_path: Path) -> None:
    write_run(tmp_path)
    train, items = load_samples(tmp_path, "train"), load_pair(tmp_path).items
    items.train_count[:5] = 0
    before = fit_text_table(items, dim=6, max_rows=1000, seed=0)
    items.titles[:5] = ["paper paper frame"] * 5
    after = fit_text_table(items, dim=6, max_rows=1000, seed=0)
    assert np.array_equal(before[5:], after[5:])
    unseen = np.setdiff1d(np.arange(NUM_ITEMS + 3), train.history)
    table = fit_item_table(train, unique_histories(train), num_items=NUM_ITEMS + 3, dim=5, max_rows=1000, seed=0)
    assert (table[unseen] == 0).all()


def write_wordless(run_dir: Path) -> None:
    """No word is in two titles."""
    write_run(run_dir)
    path = run_dir / "pair" / "items.parquet"
    titles = pa.array([f"word{number}" for number in range(NUM_ITEMS)])
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.column_names.index("title"), "title", titles), path)


def test_without_common_words_users_are_compared_by_the_other_parts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_wordless(tmp_path)
    config = RetrievalConfig(num_neighbours=4, item_dim=8, text_dim=6, quality_at=[1])
    retrieve(config, run_dir=tmp_path, seed=5, world=ALONE, tracker=Tracker(None, "retrieve"))
    assert "no word is in two titles of train: users are compared without text" in caplog.text
    meta = read_json(tmp_path / "neighbours" / "meta.json")
    assert meta["part_weights"] == {"model": 0.5, "items": 0.5}
    write_run(tmp_path / "other")
    without = dataclasses.replace(config, weights=PartWeights(text=0.0))
    retrieve(without, run_dir=tmp_path / "other", seed=5, world=ALONE, tracker=Tracker(None, "retrieve"))
    tables = [pq.read_table(folder / "neighbours" / "test.parquet") for folder in (tmp_path, tmp_path / "other")]
    assert tables[0].equals(tables[1])


def test_without_common_words_text_alone_is_refused(tmp_path: Path) -> None:
    write_wordless(tmp_path)
    with pytest.raises(
        InputError, match=r"retrieval\.vectors=text: no word is in two titles of train; compare by items"
    ):
        retrieve(
            RetrievalConfig(vectors="text", num_neighbours=4),
            run_dir=tmp_path, seed=5, world=ALONE, tracker=Tracker(None, "retrieve"),
        )  # fmt: skip
    assert not (tmp_path / "neighbours" / "meta.json").exists()


def test_inner_product_ranks_as_the_raw_vectors_do(tmp_path: Path) -> None:
    write_run(tmp_path)
    train = load_samples(tmp_path, "train")
    part, rows = ModelPart(tmp_path), np.arange(30, len(train), 2)
    raw = part.rows("train", train, rows, 0).astype(np.float64)
    longest = float(np.linalg.norm(raw, axis=1).max())
    keys = KeysByLength(part, longest).rows("train", train, rows, 0)
    queries = UserVectors({"model": part}, {"model": 1.0}).rows("train", train, rows, 0)
    relative = raw @ raw.T / np.linalg.norm(raw, axis=1, keepdims=True) / longest
    assert queries @ keys.T == pytest.approx(relative, abs=2e-3)
