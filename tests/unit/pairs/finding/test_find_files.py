"""Which files a folder's pair is made of: shards together, nothing left out in silence, no file for both domains."""

import gzip
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from launch.artifacts import read_json
from launch.errors import InputError
from pairs.config import PairConfig
from pairs.finding.find_files import find_files
from pairs.prepare import prepare
from pairs.synthetic.shards import write_sampled
from pairs.synthetic_config import SyntheticConfig
from tests.fifos import fifo_at

USERS, SHARD = 400, 100


def review(item: str, user: str = "U1") -> dict[str, Any]:
    return {"reviewerID": user, "asin": item, "unixReviewTime": 1_400_000_000, "overall": 5.0}


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two categories of one file each."""
    for name in ("Food", "Kitchen"):
        write(tmp_path / f"reviews_{name}.jsonl", review(name))
        write(tmp_path / f"meta_{name}.jsonl", {"asin": name, "title": name})
    return tmp_path


def files_of(folder: Path, **changes: Any) -> dict[str, tuple[list[str], list[str]]]:
    files = find_files(PairConfig(source="amazon", path=str(folder), **changes))
    return {one.name: ([path.name for path in one.reviews], [path.name for path in one.meta]) for one in files}


def refusal(folder: Path, **changes: Any) -> str:
    with pytest.raises(InputError) as refused:
        files_of(folder, **changes)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def split_reviews(folder: Path, *names: str) -> None:
    (folder / "reviews_Food.jsonl").unlink()
    for number, name in enumerate(names):
        write(folder / name, review("Food", user=f"U{number}"))


def test_every_user_of_a_sharded_folder_is_read(tmp_path: Path) -> None:
    made = SyntheticConfig(generator="sampled", num_users=USERS, items_per_domain=960, shard_users=SHARD, workers=1)
    write_sampled(tmp_path / "raw", made)
    assert len(list((tmp_path / "raw").glob("reviews_Food_*"))) == USERS // SHARD
    prepare(PairConfig(source="amazon", path=str(tmp_path / "raw")), run_dir=tmp_path / "run")
    card = read_json(tmp_path / "run" / "pair" / "card.json")
    users = pl.read_parquet(tmp_path / "run" / "pair" / "users.parquet")
    assert card["filters"]["read"]["users"] == users.height == USERS
    assert card["domains"] == ["Food", "Kitchen"]


@pytest.mark.parametrize(
    "names",
    [
        ("reviews_Food_00000.jsonl", "reviews_Food_00001.jsonl"),
        ("reviews_Food_00001.jsonl", "reviews_Food_00002.jsonl", "reviews_Food_00003.jsonl"),
        ("Food_00000.jsonl", "Food_00001.jsonl"),
        ("reviews_Food_5_00000.json", "reviews_Food_5_00001.json"),
        ("reviews_Food_000000.jsonl",),
        ("ratings_Food_00000.csv", "ratings_Food_00001.csv"),
    ],
    ids=["from 0", "from 1", "2023's names", "5-core", "a single one", "csv"],
)
def test_shards_are_one_domain_whose_name_has_no_number(folder: Path, names: tuple[str, ...]) -> None:
    split_reviews(folder, *names)
    assert files_of(folder)["Food"] == (list(names), ["meta_Food.jsonl"])
    assert list(files_of(folder)) == ["Food", "Kitchen"]


def test_shards_of_metadata_are_one_domain(folder: Path) -> None:
    (folder / "meta_Food.jsonl").rename(folder / "meta_Food_00000.jsonl")
    write(folder / "meta_Food_00001.jsonl", {"asin": "other", "title": "other"})
    assert files_of(folder)["Food"][1] == ["meta_Food_00000.jsonl", "meta_Food_00001.jsonl"]


def test_listed_shards_do_not_name_a_domain_by_number(folder: Path) -> None:
    (folder / "meta_Food.jsonl").rename(folder / "meta_Food_00000.jsonl")
    listed = {
        "reviews_x": ["reviews_Food.jsonl"], "meta_x": ["meta_Food_00000.jsonl"],
        "reviews_y": ["reviews_Kitchen.jsonl"], "meta_y": ["meta_Kitchen.jsonl"],
    }  # fmt: skip
    files: dict[str, Any] = {key: [str(folder / name) for name in names] for key, names in listed.items()}
    assert find_files(PairConfig(source="amazon", **files))[0].name == "Food"


def test_a_missing_shard_is_refused(folder: Path) -> None:
    split_reviews(folder, "reviews_Food_00000.jsonl", "reviews_Food_00002.jsonl")
    assert "shard 1 of Food's reviews is missing" in refusal(folder)


def test_shards_that_do_not_begin_at_the_first_are_refused(folder: Path) -> None:
    split_reviews(folder, "reviews_Food_00002.jsonl", "reviews_Food_00003.jsonl")
    assert "shard 1 of Food's reviews is missing" in refusal(folder)


@pytest.mark.parametrize("other", ["reviews_Food.jsonl", "Food.json", "reviews_Food_00001.jsonl.gz"])
def test_one_shard_twice_or_the_whole_beside_its_shards_is_refused(folder: Path, other: str) -> None:
    split_reviews(folder, "reviews_Food_00000.jsonl", "reviews_Food_00001.jsonl")
    content = json.dumps(review("other")).encode() + b"\n"
    (folder / other).write_bytes(gzip.compress(content) if other.endswith(".gz") else content)
    assert "both of category Food" in refusal(folder)


@pytest.mark.parametrize(
    "name", ["reviews_Books.jsonl", "ratings_Books.csv", "Books_5.json", "reviews_Books_00000.jsonl"]
)
def test_reviews_without_metadata_are_refused_not_left_out(folder: Path, name: str) -> None:
    write(folder / name, review("B"))
    assert f"{name} has no meta_Books" in refusal(folder)


def test_reviews_without_metadata_are_taken_where_no_title_is_needed(folder: Path) -> None:
    (folder / "meta_Food.jsonl").unlink()
    assert "meta_Food" in refusal(folder)
    assert files_of(folder, require_title=False)["Food"] == (["reviews_Food.jsonl"], [])
    prepared = files_of(folder, require_title=False)
    assert list(prepared) == ["Food", "Kitchen"]


def test_other_json_files_of_a_folder_are_no_reviews(folder: Path) -> None:
    write(folder / "answers.jsonl", {"title_hash": "x", "attributes": []})
    (folder / "generator.json").write_text('{\n "format": 1\n}\n', encoding="utf-8")
    assert list(files_of(folder)) == ["Food", "Kitchen"]


def copy(source: Path, target: Path) -> None:
    shutil.copy(source, target)


def link(source: Path, target: Path) -> None:
    os.link(source, target)


def symlink(source: Path, target: Path) -> None:
    target.symlink_to(source)


def pack(source: Path, target: Path) -> None:
    target.write_bytes(gzip.compress(source.read_bytes()))


def with_other_line_ends(source: Path, target: Path) -> None:
    target.write_bytes(b"\xef\xbb\xbf" + source.read_bytes().replace(b"\n", b"\r\n"))


@pytest.mark.parametrize("double", [copy, link, symlink, pack, with_other_line_ends])
def test_one_file_as_both_domains_is_refused(folder: Path, double: Callable[[Path, Path], None]) -> None:
    (folder / "reviews_Kitchen.jsonl").unlink()
    double(folder / "reviews_Food.jsonl", folder / "reviews_Kitchen.jsonl")
    line = refusal(folder)
    assert "reviews_Food.jsonl" in line
    assert "reviews_Kitchen.jsonl" in line
    assert "the same" in line


@pytest.mark.parametrize("other", ["a.csv", "./a.csv", "b.csv"])
def test_one_table_listed_for_both_domains_or_twice_is_refused(tmp_path: Path, other: str) -> None:
    for name in "abc":
        (tmp_path / f"{name}.csv").write_text("user,item,time\nu,i,5\n" + (name == "c") * "v,i,5\n", encoding="utf-8")
    one, two, three = (f"{tmp_path}/{name}" for name in ("a.csv", other, "c.csv"))
    for lists in ({"reviews_x": [one], "reviews_y": [two]}, {"reviews_x": [one, three], "reviews_y": [three]},
                  {"reviews_x": [one, two], "reviews_y": [three]}):  # fmt: skip
        config = PairConfig(source="tables", require_title=False, **lists)  # type: ignore[arg-type]  # lists of names
        with pytest.raises(InputError, match="the same"):
            find_files(config)


def test_equal_parquet_tables_are_refused_and_others_are_not(tmp_path: Path) -> None:
    rows = pl.DataFrame({"user": ["u"] * 9, "item": [*range(9)], "time": [5] * 9})
    for name, table in (("a", rows), ("b", rows), ("c", rows.with_columns(pl.col("item") + 1))):
        table.write_parquet(tmp_path / f"{name}.parquet")

    def config(other: str) -> PairConfig:
        files = [[str(tmp_path / f"{name}.parquet")] for name in ("a", other)]
        return PairConfig(source="tables", require_title=False, reviews_x=files[0], reviews_y=files[1])

    assert find_files(config("c"))[1].reviews[0].name == "c.parquet"
    with pytest.raises(InputError, match="the same"):
        find_files(config("b"))


def test_headers_alone_are_not_the_same_file(tmp_path: Path) -> None:
    for name, rows in (("a", "u,i,5\n"), ("b", ""), ("c", "u,k,5\n"), ("d", "")):
        (tmp_path / f"{name}.csv").write_text("user,item,time\n" + rows, encoding="utf-8")
    x, y = ([f"{tmp_path}/{name}.csv" for name in names] for names in ("ab", "cd"))
    config = PairConfig(source="tables", require_title=False, reviews_x=x, reviews_y=y)
    assert [len(files.reviews) for files in find_files(config)] == [2, 2]


@pytest.mark.parametrize("name", ["reviews_Food.jsonl", "meta_Food.jsonl", "reviews_Food_00001.jsonl", "Books.json"])
def test_fifo_and_folder_in_the_place_of_a_file_are_refused(folder: Path, name: str) -> None:
    with fifo_at(folder / name):
        assert f"{name}: is a FIFO and no file" in refusal(folder)
    (folder / name).unlink()
    (folder / name).mkdir()
    assert f"{name}: is a folder and no file" in refusal(folder)


def test_listed_fifo_folder_and_device_are_refused(folder: Path) -> None:
    def listed(name: str) -> PairConfig:
        files: dict[str, Any] = {
            f"{kind}_{letter}": [str(folder / f"{kind}_{category}.jsonl")]
            for kind in ("reviews", "meta")
            for letter, category in (("x", "Food"), ("y", "Kitchen"))
        }
        return PairConfig(source="amazon", **{**files, "meta_x": [name]})

    with fifo_at(folder / "pipe.jsonl") as pipe, pytest.raises(InputError, match="is a FIFO and no file"):
        find_files(listed(str(pipe)))
    with pytest.raises(InputError, match="is a folder and no file"):
        find_files(listed(str(folder)))
    with pytest.raises(InputError, match="is a device and no file"):
        find_files(listed("/dev/zero"))
    with pytest.raises(InputError, match=r"none\.jsonl: no such file"):
        find_files(listed(str(folder / "none.jsonl")))
