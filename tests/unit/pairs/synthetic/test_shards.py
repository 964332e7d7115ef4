"""The sampled generator's files: bytes that follow from the configuration alone, in the form of real ones."""

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from launch.errors import InputError
from pairs.reading.line_blocks import read_lines
from pairs.synthetic.exact_files import META_SHARD_ITEMS, sampled_items, synthetic_files, write_synthetic
from pairs.synthetic.scaled import build_shop
from pairs.synthetic.shards import RECORD, main, write_sampled
from pairs.synthetic_config import SyntheticConfig

TINY = SyntheticConfig(generator="sampled", num_users=250, items_per_domain=200, shard_users=100, workers=1, seed=3)


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
