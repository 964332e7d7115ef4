"""The synthetic pair: same bytes from a seed, the 2023 form, and a truth that can be learnt from it."""

import hashlib
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from launch.artifacts import read_json
from pairs.config import PairConfig
from pairs.prepare import prepare
from pairs.reading.line_blocks import read_lines
from pairs.synthetic.exact_files import make_catalogue, write_synthetic
from pairs.synthetic.market import TOP, build_market, simulate
from pairs.synthetic.words import MAX_ITEMS
from pairs.synthetic_config import SyntheticConfig
from pairs.tables import Samples, load_pair, load_samples

SMALL = SyntheticConfig(num_users=300, items_per_domain=100, seed=3)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default synthetic pair, prepared."""
    folder = tmp_path_factory.mktemp("synthetic")
    prepare(PairConfig(), run_dir=folder)
    return folder


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    write_synthetic(tmp_path / "one", SMALL)
    write_synthetic(tmp_path / "two", SMALL)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def test_another_seed_gives_another_pair() -> None:
    other = SyntheticConfig(num_users=300, items_per_domain=100, seed=4)
    one, two = (simulate(config, build_market(config)) for config in (SMALL, other))
    assert not one.equals(two)


def test_files_have_the_keys_of_the_2023_form(tmp_path: Path) -> None:
    write_synthetic(tmp_path / "raw", SMALL)
    review, item = (
        json.loads(read_lines(tmp_path / "raw" / f"{name}_Food.jsonl.gz")[0]) for name in ("reviews", "meta")
    )
    assert set(review) == {
        "rating", "title", "text", "images", "asin", "parent_asin", "user_id", "timestamp", "helpful_vote",
        "verified_purchase",
    }  # fmt: skip
    assert set(item) == {
        "main_category", "title", "average_rating", "rating_number", "features", "description", "price", "images",
        "videos", "store", "categories", "details", "parent_asin", "bought_together",
    }  # fmt: skip
    assert review["timestamp"] > 1_500_000_000_000


def test_titles_and_ids_are_unique_up_to_the_largest_catalogue() -> None:
    market = build_market(SyntheticConfig(items_per_domain=MAX_ITEMS))
    catalogue = make_catalogue(market, domain=1, seed=1)
    assert catalogue.height == MAX_ITEMS
    assert catalogue["title"].n_unique() == MAX_ITEMS
    assert catalogue["parent_asin"].n_unique() == MAX_ITEMS


def test_everybody_buys_in_both_domains_and_nothing_twice() -> None:
    bought = simulate(SMALL, build_market(SMALL))
    assert (bought.group_by("user").agg(pl.col("domain").n_unique())["domain"] == 2).all()
    assert bought.select("user", "domain", "theme", "place").is_unique().all()
    assert (bought.group_by("user", maintain_order=True).agg(pl.col("time").is_sorted())["time"]).all()


def test_ceiling_is_the_rate_at_which_draws_are_among_the_ten_likeliest() -> None:
    bought = simulate(SyntheticConfig(num_users=1500, seed=5), build_market(SyntheticConfig(seed=5)))
    ceiling, in_top = bought["ceiling"].to_numpy(), bought["in_top"].to_numpy()
    spread = np.sqrt((ceiling * (1 - ceiling)).sum()) / len(ceiling)
    assert abs(in_top.mean() - ceiling.mean()) < 4 * spread


def test_card_states_what_can_be_achieved(run_dir: Path) -> None:
    generator = read_json(run_dir / "pair" / "card.json")["generator"]
    assert 0.6 < generator[f"achievable_hr@{TOP}"] < 0.8
    assert set(generator["by_split"]) == {"train", "valid", "test"}


def test_item_cosine_is_far_above_popularity_and_below_the_ceiling(run_dir: Path) -> None:
    pair, train, test = load_pair(run_dir), load_samples(run_dir, "train"), load_samples(run_dir, "test")
    bought_UI = _bought(train, pair.items.num_items)
    count = bought_UI.sum(axis=0)
    cosine = (bought_UI.T @ bought_UI) / np.sqrt(np.maximum(np.outer(count, count), 1))
    np.fill_diagonal(cosine, 0)
    hits = {"popularity": 0, "cosine": 0}
    for row in range(len(test)):
        history = test.history_of(row)
        allowed = pair.items.domain == test.domain[row]
        allowed[history] = False
        recency = 0.9 ** np.arange(len(history))[::-1]
        for name, scores in (("popularity", count), ("cosine", recency @ cosine[history])):
            top = np.argsort(-np.where(allowed, scores, -1.0), kind="stable")[:TOP]
            hits[name] += int(test.target[row] in top)
    ceiling = read_json(run_dir / "pair" / "card.json")["generator"][f"achievable_hr@{TOP}"]
    assert hits["popularity"] / len(test) < 0.08
    assert hits["cosine"] >= 5 * hits["popularity"]
    assert hits["cosine"] / len(test) < ceiling


def test_nearest_users_share_targets_far_more_than_random_ones(run_dir: Path) -> None:
    pair, train, test = load_pair(run_dir), load_samples(run_dir, "train"), load_samples(run_dir, "test")
    bought_UI = _bought(train, pair.items.num_items)
    users = np.unique(train.user)
    unit_UI = bought_UI / np.linalg.norm(bought_UI, axis=1, keepdims=True)
    near, anyone = 0.0, 0.0
    for row in range(len(test)):
        likeness = unit_UI[:, test.history_of(row)].sum(axis=1)
        likeness[users == test.user[row]] = -1
        near += bought_UI[likeness.argmax(), test.target[row]]
        anyone += bought_UI[:, test.target[row]].mean()
    assert near >= 3 * anyone


def _bought(train: Samples, num_items: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    row_of_user = np.unique(train.user, return_inverse=True)[1]
    bought_UI = np.zeros((int(row_of_user.max()) + 1, num_items))
    bought_UI[np.repeat(row_of_user, train.lengths), train.history] = 1
    bought_UI[row_of_user, train.target] = 1
    return bought_UI
