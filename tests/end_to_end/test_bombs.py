"""A small file that unpacks to a gibibyte, or never ends a line, is refused in one line and in bounded memory."""

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from tests.end_to_end.runs import ROOT

MIB = 1 << 20
GIBIBYTE = 1024 * MIB
PIECE = 16 * MIB
ROOM_MIB = 160
"""What reading may need above a pair of a few lines: some blocks of 16 MiB and the readers of Parquet."""
MEASURE = """
import resource, subprocess, sys
status = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(status, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
"""A small process in between: one that is started by vfork has its parent's memory as its first peak."""
ITEMS = "idBefore,item_title,idAfter,item_attribute\n"


@dataclass(frozen=True)
class Ended:
    """How a preparation ended."""

    status: int
    said: str
    peak_mib: float


def prepare(tmp_path: Path, pair: dict[str, object]) -> Ended:
    """`python -m pairs.prepare` in a process of its own, and the most memory that it had."""
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(json.dumps({"name": "mine", "pair": pair}), encoding="utf-8")
    command = [sys.executable, "-m", "pairs.prepare", "--config", str(recipe), f"--run_dir={tmp_path / 'run'}"]
    ended = subprocess.run(
        [sys.executable, "-c", MEASURE, *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        errors="replace",
        check=True,
    )
    status, peak = ended.stdout.splitlines()[-1].split()
    return Ended(int(status), ended.stderr, int(peak) / 1024)


def gzip_bomb(path: Path, byte: bytes) -> None:
    """A gibibyte of one byte in a mebibyte: the same member again and again."""
    path.write_bytes(gzip.compress(byte * PIECE) * (GIBIBYTE // PIECE))


def zstd_bomb(path: Path, byte: bytes) -> None:
    path.write_bytes(zstandard.compress(byte * PIECE) * (GIBIBYTE // PIECE))


def endless_line(path: Path, byte: bytes) -> None:
    """A gibibyte of zeros that takes no room on disk."""
    with path.open("wb") as file:
        file.truncate(GIBIBYTE)


def one_user_a_thousand_times(path: Path, byte: bytes) -> None:
    """Two gibibytes of text in a mebibyte: a dictionary of one."""
    users = pa.DictionaryArray.from_arrays(pa.array([0] * 2000, pa.int32()), pa.array([byte.decode() * MIB]))
    pq.write_table(pa.table({"user": users, "item": ["x"] * 2000, "time": [5] * 2000}), path)


def one_large_page(path: Path, byte: bytes) -> None:
    """A page of a quarter of a gibibyte."""
    users = pa.array([byte.decode() * MIB] * 256)
    table = pa.table({"user": users, "item": ["x"] * 256, "time": [5] * 256})
    pq.write_table(table, path, compression="zstd", use_dictionary=False, data_page_size=GIBIBYTE)


def raw(folder: Path) -> dict[str, object]:
    """Two categories of raw files, without fault but too few to be split."""
    for name in ("Art", "Books"):
        review = {"user_id": "U", "parent_asin": name, "timestamp": 1_500_000_000_000, "rating": 5.0}
        (folder / f"reviews_{name}.jsonl").write_text(json.dumps(review) + "\n", encoding="utf-8")
        item = {"parent_asin": name, "title": name}
        (folder / f"meta_{name}.jsonl").write_text(json.dumps(item) + "\n", encoding="utf-8")
    return {"source": "amazon", "path": str(folder)}


def released(folder: Path) -> dict[str, object]:
    """A released pair that prepares."""
    for name, first in (("art", 0), ("office", 3)):
        rows = "".join(f"{i},{name} thing {i},{first + i},{name} words\n" for i in range(3))
        (folder / f"{name}_items.csv").write_text(ITEMS + rows, encoding="utf-8")
    for split, users in (("train", range(4)), ("valid", range(4, 6)), ("test", range(6, 8))):
        lines = "".join(f"{user}\t2\t0|0|0\t3|1|1\t{target}|2|2\t\n" for user in users for target in (1, 4))
        (folder / f"{split}.txt").write_text(lines, encoding="utf-8")
    return {"source": "released", "path": str(folder), "domains": ["art", "office"]}


def tables(folder: Path) -> dict[str, object]:
    """Own tables of a row each."""
    for letter in "xy":
        (folder / f"{letter}.csv").write_text(f"user,item,time\nu,{letter},5\n", encoding="utf-8")
    files = {f"reviews_{letter}": [str(folder / f"{letter}.csv")] for letter in "xy"}
    return {"source": "tables", "require_title": False, **files}


def parquet_tables(folder: Path) -> dict[str, object]:
    """The same with X in Parquet."""
    return {**tables(folder), "reviews_x": [str(folder / "x.parquet")]}


@pytest.fixture(scope="module")
def ordinary(tmp_path_factory: pytest.TempPathFactory) -> float:
    """The memory of the stage with a pair of a few lines."""
    folder = tmp_path_factory.mktemp("ordinary")
    ended = prepare(folder, released(folder))
    assert ended.status == 0, ended.said[-2000:]
    return ended.peak_mib


@pytest.mark.parametrize(
    ("make", "name", "as_name", "bomb", "byte", "said"),
    [
        (raw, "reviews_Art.jsonl", "reviews_Art.jsonl.gz", gzip_bomb, b"\0", "line 1 is longer than 128 MiB"),
        (raw, "reviews_Art.jsonl", "ratings_Art.csv", endless_line, b"\0", "line 1 is longer than 128 MiB"),
        (raw, "meta_Art.jsonl", "meta_Art.jsonl.zst", zstd_bomb, b"{", "line 1 is longer than 128 MiB"),
        (released, "train.txt", "train.txt.gz", gzip_bomb, b"\0", "line 1 is longer than 8 MiB"),
        (released, "users.txt", "users.txt", gzip_bomb, b"\n", "4,000,000 lines"),
        (released, "art_items.csv", "art_items.csv.zst", zstd_bomb, b"\0", "line 1 is longer than 8 MiB"),
        (tables, "x.csv", "x.csv", gzip_bomb, b'"', "line 1 is longer than 128 MiB"),
        (parquet_tables, "x.csv", "x.parquet", one_user_a_thousand_times, b"u", "row 1: user must not be longer than"),
        (parquet_tables, "x.csv", "x.parquet", one_large_page, b"u", "column user unpacks to 256 MiB"),
    ],
    ids=["reviews", "ratings", "metadata", "samples", "blank users", "catalogue", "quotes", "dictionary", "page"],
)  # fmt: skip
def test_bomb_is_refused_in_bounded_memory(
    tmp_path: Path,
    ordinary: float,
    make: Callable[[Path], dict[str, object]],
    name: str,
    as_name: str,
    bomb: Callable[[Path, bytes], None],
    byte: bytes,
    said: str,
) -> None:
    pair = make(tmp_path)
    (tmp_path / name).unlink(missing_ok=True)
    bomb(tmp_path / as_name, byte)
    ended = prepare(tmp_path, pair)
    assert ended.status == 2, ended.said[-2000:]
    line = ended.said.rstrip().splitlines()[-1]
    assert as_name in line
    assert said in line
    assert "Traceback" not in ended.said
    assert ended.peak_mib - ordinary < ROOM_MIB, f"{ended.peak_mib:.0f} MiB, {ordinary:.0f} with a few lines"
