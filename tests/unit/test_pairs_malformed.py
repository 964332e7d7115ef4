"""Malformed files: a few bad rows are left out and counted, many stop the run, and no bytes give a traceback."""

import gzip
import json
import logging
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import polars as pl
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from launch.errors import InputError
from pairs import amazon, own_tables
from pairs.amazon import STRICT
from pairs.bad_rows import Ledger
from pairs.config import ColumnsConfig
from pairs.line_blocks import read_blocks
from pairs.released import read_released

REVIEW = b'{"reviewerID": "U1", "asin": "A1", "overall": 5.0, "unixReviewTime": 1381536000}\n'
META = b'{"asin": "A1", "title": "Tea &amp; cups", "categories": [["Home", "Tea"]], "brand": "Zen"}\n'
LITERAL = b"{'asin': 'A1', 'title': \"Bob's tea\", 'categories': [['Home']], 'brand': None}\n"
RATINGS = b"A2IBPI20UZIR0U,B004LLIKVU,5.0,1381536000\n"
OWN = b'user,item,time,title\nu,"i ""1""",1381536000,"two\nlines"\n'
MANY = 20_000

bad_lines = pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{not json}\n", "is not a JSON object in UTF-8"),
        (b'{"reviewerID": "\xff", "asin": "A1", "unixReviewTime": 1}\n', "is not a JSON object in UTF-8"),
        (b'{"reviewerID": "U", "asin": "A1", "unixReviewTime": NaN}\n', "is not a JSON object in UTF-8"),
        (b'{"reviewerID": "U", "asin": "A1", "unixReviewTime": 1e999}\n', "unixReviewTime must be a number"),
        (b'{"reviewerID": "U", "asin": "A1", "unixReviewTime": -1}\n', "unixReviewTime must not be negative"),
        (b'{"reviewerID": "U", "asin": "A1", "unixReviewTime": true}\n', "unixReviewTime must be a number"),
        (b'{"reviewerID": "", "asin": "A1", "unixReviewTime": 1}\n', "reviewerID must be text"),
        (b'{"asin": "A1", "unixReviewTime": 1}\n', "reviewerID must be text"),
        (b'{"reviewerID": "U", "unixReviewTime": 1}\n', "asin must be text"),
        (b'{"z": ' + b"[" * 50_000 + b"]" * 50_000 + b"}\n", "is not a JSON object in UTF-8"),
        (b"[1, 2]\n", "is not a JSON object"),
        (b"\x00\x00\n", "is not a JSON object in UTF-8"),
    ],
    ids=["json", "utf-8", "NaN", "infinite", "negative", "boolean", "blank user", "no user", "no item", "deep", "list",
         "zeros"],
)  # fmt: skip


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def read_reviews(path: Path, ledger: Ledger = STRICT) -> pl.DataFrame:
    return pl.concat(amazon.read_reviews(path, ledger))


def read_metadata(path: Path) -> pl.DataFrame:
    return pl.concat(amazon.read_metadata(path))


@bad_lines
def test_one_bad_line_in_many_is_left_out_counted_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, line: bytes, said: str
) -> None:
    path = write(tmp_path / "r.json", REVIEW * 17 + line + REVIEW * (MANY - 17))
    ledger = Ledger(1e-4)
    with caplog.at_level(logging.WARNING):
        assert read_reviews(path, ledger).height == MANY
    assert ledger.describe()["bad_rows"] == 1
    assert ledger.describe()["files"][0]["bad"] == {said: 1}
    assert f"left out 1 of {MANY + 1} lines, the first: line 18: {said}" in caplog.text


@bad_lines
def test_more_bad_lines_than_the_share_stop_the_run(tmp_path: Path, line: bytes, said: str) -> None:
    path = write(tmp_path / "r.json", REVIEW * 17 + line + REVIEW * 982)
    with pytest.raises(InputError, match=f"line 18: {said}; 1 of the 1000 lines read are bad, more than pair.max_bad"):
        read_reviews(path, Ledger(0.0009))
    assert read_reviews(path, Ledger(0.001)).height == 999


def test_file_of_rubbish_is_refused_before_its_end(tmp_path: Path) -> None:
    path = write(tmp_path / "r.json", REVIEW + b"rubbish\n" * 4_000_000)
    with pytest.raises(InputError, match=r"line 2: is not a JSON object.* of the \d+ lines read are bad"):
        read_reviews(path, Ledger(0.3))


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress], ids=["plain", "gzip", "zstd"])
def test_line_of_100_megabytes_is_left_out_without_being_held(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    huge = b'{"reviewerID": "' + b"x" * 100_000_000 + b'"}\n'
    path = write(tmp_path / "r.json", pack(REVIEW * MANY + huge + REVIEW))
    ledger = Ledger(1e-4)
    tracemalloc.start()
    try:
        assert read_reviews(path, ledger).height == MANY + 1
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert ledger.files[0].first == (MANY + 1, "is longer than 8 MiB")
    assert peak < 100_000_000


def test_crlf_and_bom_are_no_faults(tmp_path: Path) -> None:
    def changed(content: bytes) -> bytes:
        return b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n") * 2

    assert read_reviews(write(tmp_path / "r.json", changed(REVIEW))).height == 2
    assert read_metadata(write(tmp_path / "m.json", changed(META)))["title"].to_list() == ["Tea & cups"] * 2
    assert read_metadata(write(tmp_path / "l.json", changed(LITERAL)))["title"].to_list() == ["Bob's tea"] * 2
    rows = read_reviews(write(tmp_path / "r.csv", changed(RATINGS))).rows()
    assert rows == [("A2IBPI20UZIR0U", "B004LLIKVU", 1381536000, 5.0)] * 2


@pytest.mark.parametrize("name", ["r.json", "r.json.gz", "r.csv", "r.csv.gz"])
def test_empty_review_file_holds_no_review(tmp_path: Path, name: str) -> None:
    content = gzip.compress(b"") if name.endswith(".gz") else b""
    assert read_reviews(write(tmp_path / name, content)).is_empty()


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
def test_packed_file_is_read_through_all_its_parts_and_refused_when_cut(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    parts = pack(REVIEW * 50) + pack(REVIEW * 30)
    assert read_reviews(write(tmp_path / "r.json", parts)).height == 80
    for cut in (1, 5, len(parts) // 3):
        with pytest.raises(InputError, match="truncated or damaged"):
            read_reviews(write(tmp_path / "r.json", parts[:-cut]), Ledger(0.5))


def test_blank_beginning_longer_than_a_block_is_no_empty_file(tmp_path: Path) -> None:
    assert read_reviews(write(tmp_path / "r.json", (b" " * 999 + b"\n") * 17_000 + REVIEW)).height == 1


def test_overlong_first_line_is_one_bad_line(tmp_path: Path) -> None:
    path = write(tmp_path / "r.json", b"x" * 40_000_000 + b"\n" + REVIEW)
    assert read_reviews(path, Ledger(0.5)).height == 1
    with pytest.raises(InputError, match="line 1: is longer than 8 MiB"):
        read_reviews(path, Ledger(0.1))


def test_stray_quotes_spoil_their_own_lines_only(tmp_path: Path) -> None:
    path = write(tmp_path / "r.csv", RATINGS * 700 + b'"' + RATINGS * 200 + b'"' + RATINGS * 1300)
    ledger = Ledger(0.001)
    assert read_reviews(path, ledger).height == 2198
    assert ledger.files[0].first == (701, "is no CSV record")


def test_header_must_be_the_first_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line 1 is blank"):
        read_own(write(tmp_path / "t.csv", b"\n" + OWN))


@pytest.mark.parametrize("size", [1, 7, 64])
@pytest.mark.parametrize("quoted", [False, True])
@pytest.mark.parametrize("stray", [b"", b'"', b'x,"y\n'])
def test_blocks_of_any_size_hold_every_line_once(tmp_path: Path, size: int, quoted: bool, stray: bytes) -> None:
    content = b'a,"b\nc",d\n\ne,f,"g"\n' * 5 + stray + b'a,"b\nc",d\n' * 5 + b"last"
    ledger = Ledger(0.0)
    path = write(tmp_path / "t.csv", content)
    blocks = list(read_blocks(path, ledger.open(path), quoted=quoted, size=size))
    assert b"".join(block.data for block in blocks) == content
    expected = [(n, line) for n, line in enumerate(content.split(b"\n"), start=1) if line]
    assert [row for block in blocks for row in block.lines()] == expected


def read_own(path: Path) -> None:
    pl.concat(own_tables.read_events(path, ColumnsConfig(rating="title"), Ledger(1e-4)))
    pl.concat(own_tables.read_items(path, ColumnsConfig(attributes=["title"]), Ledger(1e-4), max_chars=50))


def damage(content: bytes) -> st.SearchStrategy[bytes]:
    """The content with a few stretches replaced by other bytes."""
    places = st.integers(0, len(content))
    rubbish = st.binary(max_size=6) | st.sampled_from(
        [b'"', b"'", b"\n", b"\\", b"[[[", b"\x00", b",", b"null", b"1e999"]
    )
    edits = st.lists(st.tuples(places, st.integers(0, 8), rubbish), max_size=4)

    def apply(found: list[tuple[int, int, bytes]]) -> bytes:
        changed = content
        for place, length, replacement in found:
            changed = changed[:place] + replacement + changed[place + length :]
        return changed

    return edits.map(apply)


FUZZED = [
    (REVIEW * 3, read_reviews, ".json"),
    (META * 3, read_metadata, ".json"),
    (LITERAL * 3, read_metadata, ".json"),
    (RATINGS * 3, read_reviews, ".csv"),
    (OWN * 3, read_own, ".csv"),
    (b'{"user": "u", "item": 7, "time": 1, "title": ["t"]}\n', read_own, ".json"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "read", "suffix"), FUZZED, ids=["reviews", "meta", "literal", "ratings", "csv", "own"]
)
@settings(max_examples=60, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_end_in_one_clear_line(
    tmp_path: Path, content: bytes, read: Callable[[Path], object], suffix: str, data: st.DataObject
) -> None:
    damaged = data.draw(damage(content) | st.binary(max_size=60))
    for pack, ending in ((bytes, ""), (gzip.compress, ".gz")):
        path = write(tmp_path / f"t{suffix}{ending}", pack(damaged))
        with suppress(InputError):
            read(path)


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
@settings(max_examples=40, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_packing_ends_in_one_clear_line(
    tmp_path: Path, pack: Callable[[bytes], bytes], data: st.DataObject
) -> None:
    path = write(tmp_path / "t.json.gz", data.draw(damage(pack(REVIEW * 50))))
    with suppress(InputError):
        read_reviews(path)


@settings(max_examples=40, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_parquet_ends_in_one_clear_line(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "t.parquet"
    pl.DataFrame({"user": ["u"], "item": ["i"], "time": [1.0], "title": ["t"]}).write_parquet(path)
    path.write_bytes(data.draw(damage(path.read_bytes())))
    with suppress(InputError):
        read_own(path)


RELEASED = {
    "a_items.csv": b"idBefore,item_title,idAfter,item_attribute\nA,\"one, big\",0,w\nB,two,1,w x\n",
    "b_items.csv": b"idBefore,item_title,idAfter,item_attribute\nC,three,2,w\nD,four,3,\n",
    "train.txt": b"0\t2\t0|0|0\t2|1|1\t1|2|2\t\n",
    "valid.txt": b"1\t2\t0|0|0\t2|1|1\t3|2|2\t\n",
    "test.txt": b"2\t2\t0|0|0\t2|1|1\t3|2|2\t\n",
    "users.txt": b"x\t0\ny\t1\nz\t2\n",
}  # fmt: skip


@pytest.mark.parametrize("name", list(RELEASED))
@settings(max_examples=40, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_released_pair_ends_in_one_clear_line(tmp_path: Path, name: str, data: st.DataObject) -> None:
    for file, content in RELEASED.items():
        write(tmp_path / file, content)
    write(tmp_path / name, data.draw(damage(RELEASED[name]) | st.binary(max_size=60)))
    with suppress(InputError):
        read_released(tmp_path)


@settings(max_examples=60, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.fixed_dictionaries(
            {"reviewerID": st.text(max_size=3) | st.none() | st.integers(0, 9), "asin": st.sampled_from(["A", "B"])},
            optional={"unixReviewTime": st.integers(-5, 5) | st.floats() | st.text(max_size=2) | st.none()},
        ),
        min_size=1,
        max_size=6,
    )
)
def test_polars_and_line_by_line_agree(tmp_path: Path, rows: list[dict[str, object]]) -> None:
    """A first line that polars cannot read sends the block line by line; the other rows must come out the same."""
    good = {"reviewerID": "U", "asin": "A", "unixReviewTime": 1}
    lines = [json.dumps(row).encode() + b"\n" for row in [good, *rows]]
    fast = [read_reviews(write(tmp_path / "one.json", line), Ledger(0.99)).rows() for line in lines if usable(line)]
    slow = read_reviews(write(tmp_path / "all.json", b"".join([*lines, b"!\n"])), Ledger(0.99))
    assert slow.rows() == [row for part in fast for row in part]


def usable(line: bytes) -> bool:
    row = json.loads(line)
    time = row.get("unixReviewTime")
    timed = isinstance(time, int | float) and 0 <= time < 1e20
    return row["reviewerID"] not in (None, "") and timed
