"""Raw Amazon files: the forms of 2014, 2018 and 2023, found in a folder; how each kind of broken file is refused."""

import gzip
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import zstandard

from launch.errors import InputError
from pairs.config import PairConfig
from pairs.finding.find_files import find_files
from pairs.reading import amazon
from pairs.sifting.read_pair import RawPair, read_pair
from pairs.sifting.sift import keep_interactions
from tests.raw_pairs import events_of

REVIEW_2014 = {"reviewerID": "U1", "asin": "A1", "overall": 5.0, "unixReviewTime": 1_381_536_000}
REVIEW_2018 = {**REVIEW_2014, "style": {"Size:": " 50"}, "verified": True}
REVIEW_2023 = {"user_id": "U1", "asin": "V1", "parent_asin": "A1", "timestamp": 1_588_687_728_923, "images": []}


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read_reviews(path: Path) -> pl.DataFrame:
    return pl.concat(amazon.read_reviews(path))


def read_metadata(path: Path) -> pl.DataFrame:
    return pl.concat(amazon.read_metadata(path))


def read_folder(folder: Path, **changes: Any) -> RawPair:
    config = PairConfig(source="amazon", path=str(folder), **changes)
    return read_pair(*find_files(config), config, scratch=Path(tempfile.mkdtemp(dir=folder)))


def titles(raw: RawPair, *items: str) -> list[list[str]]:
    """The titles of those of `items` that each domain's catalogue has, in order of the items' ids."""
    return [c.texts(pl.Series(items)).sort("item")["title"].to_list() for c in raw.catalogues]


def write_category(folder: Path, name: str, item: str) -> None:
    write(folder / f"reviews_{name}.jsonl", {**REVIEW_2014, "asin": item})
    write(folder / f"meta_{name}.jsonl", {"asin": item, "title": f"thing of {name}"})


@pytest.mark.parametrize(
    ("row", "seconds"), [(REVIEW_2014, 1_381_536_000), (REVIEW_2018, 1_381_536_000), (REVIEW_2023, 1_588_687_728)]
)
def test_every_form_of_review_is_read_in_seconds_and_by_parent(
    tmp_path: Path, row: dict[str, Any], seconds: int
) -> None:
    assert read_reviews(write(tmp_path / "r.jsonl", row)).drop("rating").rows() == [("U1", "A1", seconds)]


def test_time_may_be_written_as_a_float(tmp_path: Path) -> None:
    rows = [{**REVIEW_2014, "unixReviewTime": 1.381536e9}, {**REVIEW_2014, "unixReviewTime": 1_588_687_728_923.0}]
    assert read_reviews(write(tmp_path / "r.jsonl", *rows))["time"].to_list() == [1_381_536_000, 1_588_687_728]


def test_path_is_no_pattern(tmp_path: Path) -> None:
    folder = tmp_path / "raw [2023] *"
    folder.mkdir()
    assert read_reviews(write(folder / "r?.jsonl", REVIEW_2014)).height == 1


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress], ids=["plain", "gzip", "zstd"])
def test_any_compression_is_read(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(pack(write(path, REVIEW_2023, REVIEW_2023).read_bytes()))
    assert read_reviews(path).height == 2


@pytest.mark.parametrize(
    ("row", "attributes"),
    [
        ({"asin": "A", "title": "T", "categories": [["Home", "Tea & Co"], ["Home", "Cups"]], "brand": "Zen"},
         "home tea co cups zen"),
        ({"asin": "A", "title": "T", "category": ["Home", "Tea &amp; Co"], "brand": "Zen", "price": "$1"},
         "home tea co zen"),
        ({"parent_asin": "A", "title": "T", "categories": ["Home", "Tea"], "store": "Zen", "details": {"a": 1}},
         "home tea zen"),
        ({"asin": "A", "title": "T"}, ""),
        ({"asin": "A", "title": "T", "categories": [], "brand": None}, ""),
    ],
    ids=["2014", "2018", "2023", "no attributes", "empty attributes"],
)  # fmt: skip
def test_attributes_are_the_words_of_categories_and_brand(tmp_path: Path, row: dict[str, Any], attributes: str) -> None:
    assert read_metadata(write(tmp_path / "m.jsonl", row)).drop("cut").rows() == [("A", "T", attributes)]


def test_features_are_attributes_where_they_are_asked_for(tmp_path: Path) -> None:
    row = {"parent_asin": "B1", "title": "Kettle", "categories": ["Kitchen"], "features": ["Boils fast", "1.7 L"]}
    path = tmp_path / "meta_Kitchen.jsonl"
    path.write_text(json.dumps(row), encoding="utf-8")
    assert read_metadata(path)["attributes"].to_list() == ["kitchen"]
    both = pl.concat(amazon.read_metadata(path, attributes=["features", "categories"]))
    assert both["attributes"].to_list() == ["boils fast 1 7 l kitchen"]


def test_item_without_title_is_left_out(tmp_path: Path) -> None:
    write_category(tmp_path, "Books", "B1")
    write_category(tmp_path, "Art", "A1")
    rows: list[dict[str, Any]] = [{"asin": "A", "title": "  "}, {"asin": "B", "title": None}, {"asin": "C"}]
    rows.append({"asin": "D", "title": "d"})
    write(tmp_path / "meta_Art.jsonl", *rows)
    write(tmp_path / "reviews_Art.jsonl", *({**REVIEW_2014, "asin": item} for item in "ABCD"))

    def items(**changes: Any) -> list[str]:
        config = PairConfig(source="amazon", path=str(tmp_path), **changes)
        scratch = Path(tempfile.mkdtemp(dir=tmp_path))
        raw = read_pair(*find_files(config), config, scratch=scratch)
        kept: list[str] = keep_interactions(raw, config, scratch=scratch)[1]["source_id"].to_list()
        return kept

    assert items() == ["D", "B1"]
    assert items(require_title=False) == ["A", "B", "C", "D", "B1"]
    assert read_folder(tmp_path).catalogues[0].is_titled(pl.Series([*"DCBAX"])).to_list() == [True, *[False] * 4]


def test_two_categories_of_a_folder_are_found_by_name(tmp_path: Path) -> None:
    write_category(tmp_path, "Books_and_More", "B1")
    write_category(tmp_path, "Art", "A1")
    raw = read_folder(tmp_path)
    assert raw.names == ("Art", "Books and More")
    assert titles(raw, "A1", "B1") == [["thing of Art"], ["thing of Books_and_More"]]


@pytest.mark.parametrize(
    "name", ["Gift_Cards_5.json", "Gift_Cards.jsonl", "reviews_Gift_Cards.json", "reviews_Gift_Cards_5.json"]
)
def test_every_published_name_of_a_review_file_is_known(tmp_path: Path, name: str) -> None:
    write_category(tmp_path, "Art", "A1")
    write(tmp_path / "meta_Gift_Cards.json", {"asin": "G", "title": "g"})
    reviews = write(tmp_path / name, REVIEW_2018)
    assert find_files(PairConfig(source="amazon", path=str(tmp_path)))[1].reviews == [reviews]


def test_listed_files_and_display_names_are_taken_as_given(tmp_path: Path) -> None:
    write_category(tmp_path, "Art", "A1")
    write_category(tmp_path, "Books", "B1")
    listed = {f"{kind}_{letter}": [str(tmp_path / f"{kind}_{name}.jsonl")] for kind in ("reviews", "meta")
              for letter, name in (("x", "Books"), ("y", "Art"))}  # fmt: skip
    config = PairConfig(source="amazon", domains=["to read", "to paint"], **listed)  # type: ignore[arg-type]  # four lists
    raw = read_pair(*find_files(config), config, scratch=tmp_path)
    assert raw.names == ("to read", "to paint")
    assert titles(raw, "A1", "B1") == [["thing of Books"], ["thing of Art"]]


def test_first_of_two_titles_of_an_item_is_kept(tmp_path: Path) -> None:
    write_category(tmp_path, "Art", "A1")
    write_category(tmp_path, "Books", "B1")
    write(tmp_path / "meta_Art.jsonl", {"asin": "A1", "title": "first"}, {"asin": "A1", "title": "second"})
    raw = read_folder(tmp_path)
    assert titles(raw, "A1", "B1") == [["first"], ["thing of Books"]]


def broken_line(text: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / "reviews_Art.jsonl").write_text(json.dumps(REVIEW_2014) + "\n" + text + "\n", encoding="utf-8")

    return change


def truncate(folder: Path) -> None:
    packed = gzip.compress((json.dumps(REVIEW_2014) + "\n").encode() * 5000)
    (folder / "reviews_Art.jsonl").unlink()
    (folder / "reviews_Art.jsonl.gz").write_bytes(packed[:-20])


def cut_in_a_line(folder: Path) -> None:
    path = folder / "reviews_Art.jsonl"
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: (folder / "reviews_Art.jsonl").unlink(), r"meta_Art has no reviews_Art\.jsonl"),
        (lambda folder: (folder / "meta_Art.jsonl").unlink(), r"reviews_Art\.jsonl has no meta_Art"),
        (lambda folder: write_category(folder, "Third", "C1"), "holds the files of 3 categories"),
        (lambda folder: write(folder / "Art.jsonl", REVIEW_2014), "both of category Art; remove one"),
        (truncate, r"reviews_Art\.jsonl\.gz: truncated or damaged"),
        (cut_in_a_line, r"reviews_Art\.jsonl: truncated or damaged \(line 1 ends in the middle\)"),
        (broken_line('{"reviewerID": "U1",'), "line 2: is not a JSON object"),
        (broken_line("[1, 2]"), "line 2: is not a JSON object"),
        (broken_line("{'reviewerID': 'U1'}"), "line 2: asin must be text"),
        (broken_line('{"reviewerID": "U1", "asin": "A"}'), "line 2: unixReviewTime must be a number; 1 of the 2 lines"),
        (broken_line('{"reviewerID": "U1", "asin": "A", "unixReviewTime": "x"}'), "unixReviewTime must be a number"),
        (broken_line('{"reviewerID": null, "asin": "A", "unixReviewTime": 1}'), "line 2: reviewerID must be text"),
        (lambda folder: write(folder / "reviews_Art.jsonl", {"a": 1}), "has none of the keys user_id, reviewerID"),
        (lambda folder: write(folder / "meta_Art.jsonl", {"asin": "A1"}), "line 1 has none of the keys title"),
        (lambda folder: write(folder / "meta_Art.jsonl", {"asin": "A", "title": "t"}, {"title": "u"}), "line 2: asin"),
        (lambda folder: write(folder / "reviews_Art.jsonl"), "holds no review: Art would be an empty domain"),
        (lambda folder: write(folder / "meta_Art.jsonl"), "holds no item: an empty domain"),
        (
            lambda folder: write(folder / "meta_Art.jsonl", {"asin": "A1", "title": ""}),
            r"meta_Art\.jsonl: none of 1 items has a title; take ids for titles with pair\.require_title=false",
        ),
    ],
)  # fmt: skip
def test_broken_file_is_refused_by_file_and_row(tmp_path: Path, change: Callable[[Path], object], said: str) -> None:
    write_category(tmp_path, "Art", "A1")
    write_category(tmp_path, "Books", "B1")
    change(tmp_path)
    with pytest.raises(InputError, match=said) as refusal:
        read_folder(tmp_path)
    assert "\n" not in str(refusal.value)


def test_missing_folder_and_missing_path_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a folder"):
        find_files(PairConfig(source="amazon", path=str(tmp_path / "nowhere")))
    with pytest.raises(InputError, match=r"add --pair\.path=FOLDER"):
        find_files(PairConfig(source="amazon"))


def test_python_literals_of_2014_are_read_beside_json(tmp_path: Path) -> None:
    meta = {"asin": "A1", "title": 'Bob\'s "tea"', "categories": [["Home", "Tea"], ["Gifts"]], "salesRank": {"Home": 9}}
    path = tmp_path / "meta_Art.json.gz"
    path.write_bytes(gzip.compress((repr(meta) + "\r\n" + json.dumps({**meta, "asin": "A2"}) + "\n").encode()))
    title, words = 'Bob\'s "tea"', "home tea gifts"
    assert read_metadata(path).drop("cut").rows() == [("A1", title, words), ("A2", title, words)]
    write(tmp_path / "r.json", REVIEW_2014)
    (tmp_path / "r.json").write_text(f"{REVIEW_2014!r}\n{REVIEW_2014!r}\n", encoding="utf-8")
    assert read_reviews(tmp_path / "r.json").rows() == [("U1", "A1", 1_381_536_000, 5.0)] * 2


def test_ratings_only_files_of_a_folder_are_found(tmp_path: Path) -> None:
    for name, item in (("Art", "B00000000A"), ("Books", "B00000000B")):
        (tmp_path / f"ratings_{name}.csv").write_text(f"A0000000000001,{item},5.0,1400000007\n", encoding="utf-8")
        write(tmp_path / f"meta_{name}.json", {"asin": item, "title": name})
    assert events_of(read_folder(tmp_path)).sort("item")["item"].to_list() == ["B00000000A", "B00000000B"]


def test_items_with_conflicting_titles_and_cut_titles_are_counted(tmp_path: Path) -> None:
    write_category(tmp_path, "Art", "A1")
    write_category(tmp_path, "Books", "B1")
    rows = [{"asin": "A1", "title": title} for title in ("", "one two three", "other", "one two three")]
    write(tmp_path / "meta_Art.jsonl", *rows)
    raw = read_folder(tmp_path, max_title_chars=10)
    assert raw.reading["items_with_conflicting_titles"] == {"X": 1, "Y": 0}
    assert raw.reading["titles_cut"] == {"X": 1, "Y": 1}
    assert titles(raw, "A1", "B1") == [["one two"], ["thing of"]]
