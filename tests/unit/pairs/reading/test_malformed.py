"""Malformed lines: a few bad rows are left out and counted, many stop the run, and oddities are no faults."""

import gzip
import logging
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from launch.errors import InputError
from pairs.reading.bad_rows import Ledger
from pairs.reading.line_blocks import read_blocks
from tests.raw_lines import LITERAL, META, OWN, RATINGS, REVIEW, read_metadata, read_own, read_reviews, write

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
