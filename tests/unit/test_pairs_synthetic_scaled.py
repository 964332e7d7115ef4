"""The sampled generator: bytes that follow from the configuration alone, real data's shapes, interests to be learnt."""

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
import scipy.sparse as sp

from launch.errors import InputError
from pairs.raw_files import read_lines
from pairs.synthetic_config import SyntheticConfig
from pairs.synthetic_files import META_SHARD_ITEMS, sampled_items, synthetic_files, write_synthetic
from pairs.synthetic_scaled import Purchases, build_shop, popularity, simulate_users
from pairs.synthetic_shards import RECORD, main, write_sampled

TINY = SyntheticConfig(generator="sampled", num_users=250, items_per_domain=200, shard_users=100, workers=1, seed=3)
NUM_USERS, NUM_ITEMS, MEAN = 10_000, 5_000, 18
TOP = 10
Floats = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def bought() -> Purchases:
    """Purchases of 10,000 users among 5,000 items of each domain."""
    shop, rng = build_shop(NUM_ITEMS), np.random.default_rng(1)
    return simulate_users(rng, shop, num_users=NUM_USERS, mean=MEAN, single_domain_share=0.0)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of TINY."""
    folder = tmp_path_factory.mktemp("sampled") / "raw"
    write_sampled(folder, TINY)
    return folder


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def lines_of(paths: list[Path]) -> list[str]:
    return [line for path in paths for line in read_lines(path)]


def test_the_files_are_those_that_are_announced(tiny: Path) -> None:
    announced = [path.name for files in synthetic_files(tiny, TINY) for path in (*files.reviews, *files.meta)]
    assert sorted([*announced, RECORD]) == sorted(digests(tiny))
    assert announced[:4] == [*(f"reviews_Food_{shard:05d}.jsonl.gz" for shard in range(3)), "meta_Food_00000.jsonl.gz"]


def test_the_exact_generators_files_are_announced_too(tmp_path: Path) -> None:
    config = SyntheticConfig(num_users=20, items_per_domain=100)
    write_synthetic(tmp_path / "raw", config)
    assert all(path.is_file() for x in synthetic_files(tmp_path / "raw", config) for path in (*x.reviews, *x.meta))


@pytest.mark.slow
def test_two_workers_write_the_same_bytes_as_one(tiny: Path, tmp_path: Path) -> None:
    write_sampled(tmp_path / "raw", dataclasses.replace(TINY, workers=2))
    assert digests(tmp_path / "raw") == digests(tiny)


def test_another_seed_gives_other_bytes(tiny: Path, tmp_path: Path) -> None:
    write_sampled(tmp_path / "raw", dataclasses.replace(TINY, seed=4))
    one, two = digests(tiny), digests(tmp_path / "raw")
    assert one.keys() == two.keys()
    assert not set(one.values()) & set(two.values())


def test_resumed_after_a_kill_equals_never_killed(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    shutil.copytree(tiny, folder)
    (folder / "reviews_Kitchen_00001.jsonl.gz").unlink()
    (folder / "meta_Food_00000.jsonl.gz").unlink()
    (folder / ".reviews_Food_00002.jsonl.gz.77.partial").write_text("half a shard")
    kept = folder / "reviews_Food_00001.jsonl.gz"
    written = kept.stat().st_mtime_ns, kept.stat().st_ino
    write_sampled(folder, TINY)
    assert digests(folder) == digests(tiny)
    assert (kept.stat().st_mtime_ns, kept.stat().st_ino) == written


def test_shards_of_another_configuration_are_replaced(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    write_sampled(folder, dataclasses.replace(TINY, num_users=350, compression="none", seed=9))
    write_sampled(folder, TINY)
    assert digests(folder) == digests(tiny)


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "reviews_Food_00000.jsonl.gz").write_text("somebody's")
    with pytest.raises(InputError, match="choose an empty or a new folder"):
        write_sampled(tmp_path, TINY)
    assert [path.name for path in tmp_path.iterdir()] == ["reviews_Food_00000.jsonl.gz"]


@pytest.mark.parametrize("compression", ["zstd", "none"])
def test_compression_changes_only_the_packing(tiny: Path, tmp_path: Path, compression: str) -> None:
    config = dataclasses.replace(TINY, compression=compression)  # type: ignore[arg-type]  # one of the three
    write_sampled(tmp_path / "raw", config)
    packed, plain = (synthetic_files(folder, c)[1] for folder, c in ((tiny, TINY), (tmp_path / "raw", config)))
    assert lines_of(packed.reviews) == lines_of(plain.reviews)
    assert lines_of(packed.meta) == lines_of(plain.meta)


def test_every_line_has_the_keys_of_the_2023_form(tiny: Path) -> None:
    for files in synthetic_files(tiny, TINY):
        reviews, items = ([json.loads(line) for line in lines_of(paths)] for paths in (files.reviews, files.meta))
        assert {frozenset(review) for review in reviews} == {frozenset({
            "rating", "title", "text", "images", "asin", "parent_asin", "user_id", "timestamp", "helpful_vote",
            "verified_purchase",
        })}  # fmt: skip
        assert {frozenset(item) for item in items} == {frozenset({
            "main_category", "title", "average_rating", "rating_number", "features", "description", "price", "images",
            "videos", "store", "categories", "details", "parent_asin", "bought_together",
        })}  # fmt: skip
        assert len(items) == len({item["parent_asin"] for item in items}) == TINY.items_per_domain
        assert {review["parent_asin"] for review in reviews} <= {item["parent_asin"] for item in items}
        assert len({review["user_id"] for review in reviews}) == TINY.num_users
        assert all(1_577_836_800_000 <= review["timestamp"] < 2_000_000_000_000 for review in reviews)


def test_a_line_of_reviews_is_as_long_as_real_ones(tiny: Path) -> None:
    lengths = [len(line) + 1 for line in lines_of(synthetic_files(tiny, TINY)[0].reviews)]
    assert 280 < np.mean(lengths) < 330


def test_titles_and_ids_are_unique_beyond_what_the_words_allow() -> None:
    shop = build_shop(META_SHARD_ITEMS)
    items = sampled_items(shop, np.arange(META_SHARD_ITEMS), domain=1)
    assert items["title"].n_unique() == items["parent_asin"].n_unique() == META_SHARD_ITEMS
    assert 0 < items["title"].str.contains(r" M\d+, ").sum() < META_SHARD_ITEMS


def test_users_buy_as_much_as_asked_and_some_very_much(bought: Purchases) -> None:
    lengths = np.bincount(bought.user, minlength=NUM_USERS)
    assert lengths.mean() == pytest.approx(MEAN, rel=0.04)
    assert np.sort(lengths)[-NUM_USERS // 100 :].sum() > 0.05 * lengths.sum()
    assert np.median(lengths) < 0.8 * MEAN


def test_about_half_of_the_users_buy_five_times_in_each_domain(bought: Purchases) -> None:
    of_domain = np.bincount(bought.user * 2 + bought.domain, minlength=2 * NUM_USERS).reshape(-1, 2)
    assert (of_domain > 0).all()
    assert 0.45 < (of_domain >= 5).all(axis=1).mean() < 0.65


def test_the_given_share_of_users_buys_in_one_domain_only() -> None:
    rng = np.random.default_rng(1)
    bought = simulate_users(rng, build_shop(500), num_users=2000, mean=18, single_domain_share=0.3)
    of_domain = np.bincount(bought.user * 2 + bought.domain).reshape(-1, 2)
    assert (of_domain == 0).any(axis=1).mean() == pytest.approx(0.3, abs=0.04)


@pytest.mark.parametrize("domain", [0, 1])
def test_few_items_hold_a_large_share_of_the_purchases(bought: Purchases, domain: int) -> None:
    counts = np.sort(np.bincount(bought.item[bought.domain == domain], minlength=NUM_ITEMS))[::-1]
    assert counts[: NUM_ITEMS // 100].sum() > 0.12 * counts.sum()
    assert counts[NUM_ITEMS // 2 :].sum() < 0.25 * counts.sum()


def test_stated_popularity_goes_with_the_purchases(bought: Purchases) -> None:
    stated = popularity(build_shop(NUM_ITEMS), np.arange(NUM_ITEMS), domain=0)
    counts = np.bincount(bought.item[bought.domain == 0], minlength=NUM_ITEMS)
    assert stated.sum() == pytest.approx(1)
    assert np.corrcoef(stated, counts)[0, 1] > 0.8


def test_repeat_purchases_are_occasional(bought: Purchases) -> None:
    distinct = pl.DataFrame({"user": bought.user, "domain": bought.domain, "item": bought.item}).n_unique()
    assert 0.01 < 1 - distinct / len(bought.user) < 0.03


def test_times_of_a_user_increase(bought: Purchases) -> None:
    assert (np.diff(bought.time)[np.diff(bought.user) == 0] > 0).all()


def test_some_users_rate_low(bought: Purchases) -> None:
    means = np.bincount(bought.user, bought.rating) / np.bincount(bought.user)
    assert 0.05 < (means < 3.4).mean() < 0.15
    assert set(bought.rating) == {1, 2, 3, 4, 5}


def test_item_cosine_finds_held_out_items_far_more_often_than_popularity(bought: Purchases) -> None:
    column = bought.domain * NUM_ITEMS + bought.item
    last = np.flatnonzero(np.diff(bought.user, append=NUM_USERS))
    rest = np.delete(np.arange(len(column)), last)
    seen_UI = _bought_once(bought.user[rest], column[rest])
    popularity_hits, cosine_hits = (
        _hits(scores, seen_UI, column[last], bought.domain[last])
        for scores in (_popularity(seen_UI), _scores(seen_UI, _cosine(seen_UI)))
    )
    assert popularity_hits < 0.08
    assert cosine_hits > 4 * popularity_hits


def test_purchases_in_one_domain_help_to_predict_the_other(bought: Purchases) -> None:
    column = bought.domain * NUM_ITEMS + bought.item
    in_y = np.flatnonzero(bought.domain == 1)
    last = in_y[np.flatnonzero(np.diff(bought.user[in_y], append=NUM_USERS))]  # everybody has one
    rest = np.delete(np.arange(len(column)), last)
    seen_UI = _bought_once(bought.user[rest], column[rest])
    cosine_II, wanted = _cosine(seen_UI), np.ones(NUM_USERS, np.int64)
    x_only, y_only = (_keep_domain(seen_UI, domain) for domain in (0, 1))
    hits = {
        name: _hits(scores, seen_UI, column[last], wanted)
        for name, scores in (
            ("popularity", _popularity(seen_UI)),
            ("from x", _scores(x_only, cosine_II)),
            ("from y", _scores(y_only, cosine_II)),
            ("from both", _scores(seen_UI, cosine_II)),
        )
    }
    assert hits["from x"] > 3 * hits["popularity"]
    assert hits["from both"] > 1.05 * hits["from y"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--num_users", "100"], "the following arguments are required: --out, --items_per_domain"),
        (["--out", "o", "--num_users", "5", "--items_per_domain", "100"], "--num_users must be at least 10, got 5"),
        (["--out", "o", "--num_users", "50", "--items_per_domain", "9"], "--items_per_domain must be in 48..10000000"),
    ],
)
def test_wrong_words_end_with_one_line_and_status_2(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ending:
        main(words)
    assert ending.value.code == 2
    assert said in capsys.readouterr().err


def test_entry_point_writes_what_the_function_writes(tiny: Path, tmp_path: Path) -> None:
    words = "--num_users 250 --items_per_domain 200 --shard_users 100 --workers 1 --seed 3"
    main(["--out", str(tmp_path / "raw"), *words.split()])
    assert digests(tmp_path / "raw") == digests(tiny)


def _bought_once(user: npt.NDArray[np.int64], column: npt.NDArray[np.int64]) -> sp.csr_array:
    pairs = np.unique(np.stack([user, column], axis=1), axis=0)
    return sp.csr_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(NUM_USERS, 2 * NUM_ITEMS))


def _keep_domain(seen_UI: sp.csr_array, domain: int) -> sp.csr_array:
    kept = (np.arange(2 * NUM_ITEMS) // NUM_ITEMS == domain).astype(float)
    return sp.csr_array(seen_UI @ sp.diags_array(kept))


def _cosine(seen_UI: sp.csr_array) -> sp.csr_array:
    scaled_UI = seen_UI @ sp.diags_array(1 / np.sqrt(np.maximum(seen_UI.sum(axis=0), 1)))
    return sp.csr_array(scaled_UI.T @ scaled_UI)


def _scores(seen_UI: sp.csr_array, cosine_II: sp.csr_array, *, users: int = 2000) -> Floats:
    scores: Floats = (seen_UI[:users] @ cosine_II).toarray()
    return scores


def _popularity(seen_UI: sp.csr_array, *, users: int = 2000) -> Floats:
    return np.tile(seen_UI.sum(axis=0), (users, 1))


def _hits(
    scores_UI: Floats, seen_UI: sp.csr_array, target_U: npt.NDArray[np.int64], domain_U: npt.NDArray[np.int64]
) -> float:
    """Share of the first users whose target is among the TOP best items of its domain that they have not bought."""
    hits = 0
    for user, scores in enumerate(scores_UI):
        allowed = np.arange(2 * NUM_ITEMS) // NUM_ITEMS == domain_U[user]
        allowed[seen_UI[[user]].indices] = False
        top = np.argsort(-np.where(allowed, scores, -1.0), kind="stable")[:TOP]
        hits += int(target_U[user] in top)
    return hits / len(scores_UI)
