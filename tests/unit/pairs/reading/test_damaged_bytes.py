"""Damaged bytes: whatever stands in a raw file, reading ends well or in one clear line, never in a traceback."""

import gzip
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import polars as pl
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from launch.errors import InputError
from pairs.released.read import read_released
from tests.raw_lines import LITERAL, META, OWN, RATINGS, REVIEW, read_metadata, read_own, read_reviews, write


def damage(content: bytes) -> st.SearchStrategy[bytes]:
    """The content with a few stretches replaced by other bytes."""
    places = st.integers(0, len(content))
    rubbish = st.binary(max_size=6) | st.sampled_from(
        [b'"', b"'", b"\n", b"\\", b"[[[", b"\x00", b",", b"null", b"1e999"]
    )
    edits = st.lists(st.tuples(places, st.integers(0, 8), rubbish), max_size=4)

    def apply(changes: list[tuple[int, int, bytes]]) -> bytes:
        changed = content
        for place, length, replacement in changes:
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
