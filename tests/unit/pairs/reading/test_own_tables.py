"""Other people's tables give the same rows in every form."""

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import zstandard

from launch.errors import InputError
from pairs.config import ColumnsConfig, PairConfig
from pairs.finding.find_files import find_files
from pairs.reading import own_tables
from pairs.reading.bad_rows import Ledger
from pairs.sifting.read_pair import read_pair
from tests.raw_pairs import events_of

COLUMNS = ColumnsConfig(user="who", item="what", time="when", rating="stars", title="name", attributes=["genres"])
EVENTS: list[dict[str, Any]] = [
    {"who": "u1", "what": "7", "when": 1_500_000_000, "stars": 4.5, "extra": "a,b"},
    {"who": "u2", "what": "8", "when": 1_500_000_001, "stars": None, "extra": ""},
]
ITEMS: list[dict[str, Any]] = [
    {"what": "7", "name": 'Tea "Set",\nlarge', "genres": "Cups|Green Tea"},
    {"what": "8", "name": None, "genres": None},
]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    table = pl.DataFrame(rows, infer_schema_length=None)
    match path.name.removesuffix(".gz").removesuffix(".zst").rpartition(".")[2]:
        case "parquet":
            table.write_parquet(path)
        case "csv":
            table.write_csv(path, check_extension=False)
        case "tsv":
            table.write_csv(path, separator="\t")
        case "jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    if path.suffix in {".gz", ".zst"}:
        pack = gzip.compress if path.suffix == ".gz" else zstandard.compress
        path.write_bytes(pack(path.read_bytes()))
    return path


def read_events(path: Path, columns: ColumnsConfig = COLUMNS) -> pl.DataFrame:
    return pl.concat(own_tables.read_events(path, columns, Ledger(0.0)))


def read_items(path: Path) -> pl.DataFrame:
    return pl.concat(own_tables.read_items(path, COLUMNS, Ledger(0.0), max_chars=400))


@pytest.mark.parametrize("name", ["t.parquet", "t.csv", "t.tsv", "t.jsonl", "t.csv.gz", "t.jsonl.zst"])
def test_every_form_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    events = read_events(write(tmp_path / name, EVENTS))
    assert events.rows() == [("u1", "7", 1_500_000_000, 4.5), ("u2", "8", 1_500_000_001, None)]
    items = read_items(write(tmp_path / name, ITEMS))
    assert items.rows() == [("7", 'Tea "Set", large', "cups green tea", False), ("8", "", "", False)]


@pytest.mark.parametrize("unit", [1, 10**3, 10**6, 10**9])
def test_numbers_of_any_unit_are_times(tmp_path: Path, unit: int) -> None:
    rows = [{**EVENTS[0], "when": 1_500_000_000 * unit}]
    assert read_events(write(tmp_path / "t.parquet", rows))["time"].to_list() == [1_500_000_000]


def test_times_in_words_and_dates_are_read(tmp_path: Path) -> None:
    moment = datetime(2017, 7, 14, 2, 40, tzinfo=UTC)
    worded = ColumnsConfig(user="who", item="what", time="when", time_format="%d.%m.%Y %H:%M")
    path = write(tmp_path / "t.csv", [{"who": "u", "what": "i", "when": moment.strftime("%d.%m.%Y %H:%M")}])
    assert read_events(path, worded)["time"].to_list() == [1_500_000_000]
    path = write(tmp_path / "t.parquet", [{"who": "u", "what": "i", "when": moment, "stars": 1}])
    assert read_events(path)["time"].to_list() == [1_500_000_000]


@pytest.mark.parametrize(
    ("name", "rows", "said"),
    [
        ("t.csv", [{"who": "u", "what": "i", "time": 1}], r"has no column 'when' \(its columns: time, what, who\)"),
        ("t.jsonl", [{"who": "u", "what": "i", "time": 1}], r"set pair\.columns\.time"),
        ("t.parquet", [{"who": "u", "what": "i", "time": 1}], r"set pair\.columns\.time"),
        ("t.xls", EVENTS, "its name must end in one of"),
        ("t.parquet", [*EVENTS, {"who": None, "what": "i", "when": 1, "stars": 1}], "row 3: who must be text"),
        ("t.csv", [*EVENTS, {"who": "u", "what": "i", "when": -1, "stars": 1}], "line 4: when must not be negative"),
    ],
)
def test_wrong_table_is_refused(tmp_path: Path, name: str, rows: list[dict[str, Any]], said: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(InputError, match=said):
        read_events(write(tmp_path / name, rows))


def test_truncated_parquet_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", EVENTS)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match="truncated or damaged"):
        read_events(path)


def test_pair_of_several_files_a_domain_needs_no_metadata(tmp_path: Path) -> None:
    one, two = write(tmp_path / "a.csv", EVENTS[:1]), write(tmp_path / "b.jsonl.gz", EVENTS[1:])
    other = write(tmp_path / "c.parquet", [{**row, "what": f"c{row['what']}"} for row in EVENTS])
    config = PairConfig(
        source="tables", reviews_x=[str(one), str(two)], reviews_y=[str(other)], columns=COLUMNS,
        require_title=False, domains=["tea", "cups"],
    )  # fmt: skip
    raw = read_pair(*find_files(config), config, scratch=tmp_path)
    assert raw.names == ("tea", "cups")
    assert events_of(raw).sort("domain", "user")["user"].to_list() == ["u1", "u2", "u1", "u2"]
    assert [catalogue.num_items for catalogue in raw.catalogues] == [0, 0]
    assert [file["rows"] for file in raw.reading["files"]] == [1, 1, 2]
