"""A Parquet file is read in batches that fit, whatever it makes of little; a bomb is refused in one line."""

from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from launch.errors import InputError
from pairs.config import ColumnsConfig
from pairs.reading import own_tables, parquet_batches
from pairs.reading.bad_rows import Ledger
from pairs.samples.strict_rows import Field, StrictFile

LONG = "x" * 40_000
ROWS = 300


def write(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    pq.write_table(pa.table(columns), path, **options)
    return path


def never(row: int) -> None:
    pytest.fail(f"row {row} is left out")


def read(path: Path, names: list[str]) -> tuple[pl.DataFrame, list[int], list[int]]:
    """All rows, the rows of each batch, and the numbers of rows that were left out."""
    left_out: list[int] = []
    batches = [frame for _, frame in parquet_batches.parquet_batches(path, names, too_long=left_out.append)]
    return pl.concat(batches), [batch.height for batch in batches], left_out


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(parquet_batches, "MOST_BYTES", 1 << 20)
    return 1 << 20


@pytest.mark.parametrize("dictionary", [True, False], ids=["dictionary", "plain"])
@pytest.mark.parametrize("texts", [[LONG] * ROWS, [None] * 200 + [LONG] * 100, [LONG, "y"] * 150])
def test_long_texts_come_in_batches_that_fit(
    tmp_path: Path, small_batches: int, texts: list[str | None], dictionary: bool
) -> None:
    path = write(tmp_path / "t.parquet", {"title": texts, "n": [*range(ROWS)]}, use_dictionary=dictionary)
    batches = [frame for _, frame in parquet_batches.parquet_batches(path, ["title", "n"], too_long=never)]
    assert pl.concat(batches).rows() == list(zip(texts, range(ROWS), strict=True))
    most = max(batch["title"].str.len_bytes().sum() for batch in batches)
    assert most <= (1 if dictionary else 4) * small_batches  # of plain pages only the mean is known


def test_long_texts_of_a_dictionary_fit_whatever_stands_before_them(tmp_path: Path, small_batches: int) -> None:
    path = write(tmp_path / "t.parquet", {"title": [None] * 5000 + [LONG] * 500})
    batches = [frame for _, frame in parquet_batches.parquet_batches(path, ["title"], too_long=never)]
    assert sum(batch.height for batch in batches) == 5500
    assert all(batch["title"].str.len_bytes().sum() <= small_batches for batch in batches)


def test_lists_that_point_to_one_text_fit(tmp_path: Path, small_batches: int) -> None:
    path = write(tmp_path / "t.parquet", {"words": [[LONG] * 5] * ROWS + [[], None]})
    table, heights, _ = read(path, ["words"])
    assert table["words"].to_list() == [[LONG] * 5] * ROWS + [[], None]
    assert max(heights) * 5 * len(LONG) <= small_batches + 2


def test_row_groups_and_cuts_keep_numbers_and_order(tmp_path: Path, small_batches: int) -> None:
    texts = [f"{n}" * (40_000 if n % 7 == 0 else 1) for n in range(ROWS)]
    path = write(tmp_path / "t.parquet", {"title": texts}, row_group_size=64)
    firsts = [(at, frame.height) for at, frame in parquet_batches.parquet_batches(path, ["title"], too_long=never)]
    assert [at for at, _ in firsts] == [1 + sum(height for _, height in firsts[:n]) for n in range(len(firsts))]
    assert read(path, ["title"])[0]["title"].to_list() == texts


def test_a_row_that_does_not_fit_is_a_bad_row(tmp_path: Path, small_batches: int) -> None:
    words = [["a"], [LONG] * 50, ["b"]]
    path = write(tmp_path / "t.parquet", {"item": ["1", "2", "3"], "title": ["t"] * 3, "words": words})
    assert read(path, ["words"])[2] == [2]
    columns = ColumnsConfig(attributes=["words"])
    ledger = Ledger(0.5)
    items = pl.concat(own_tables.read_items(path, columns, ledger, max_chars=99))
    assert items["item"].to_list() == ["1", "3"]
    assert ledger.files[0].first == (2, "is longer than 64 MiB")
    with pytest.raises(InputError, match="row 2: is longer than"):
        list(StrictFile(path, "parquet").read([Field("words", "words")]))


def test_a_column_that_unpacks_to_many_times_its_size_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_batches, "MOST_UNPACKED", 1 << 20)
    big = {"title": [LONG] * ROWS, "n": [*range(ROWS)]}
    path = write(tmp_path / "t.parquet", big, use_dictionary=False, compression="zstd")
    assert read(path, ["n"])[0].height == ROWS  # who does not ask for it does not unpack it
    with pytest.raises(InputError, match=r"column title unpacks to 11 MiB, [0-9]+ times its size") as refused:
        read(path, ["title"])
    assert "\n" not in str(refused.value)


def test_lists_beyond_measure_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_batches, "MOST_VALUES", 10_000)
    path = write(tmp_path / "t.parquet", {"history": [["a"] * 9000, ["a"] * 1001]})
    with pytest.raises(InputError, match=r"column history.* hold 10,001 values in one row group"):
        read(path, ["history"])
    assert read(write(tmp_path / "t.parquet", {"n": [1] * 10_001}), ["n"])[0].height == 10_001  # rows are no lists


def test_wide_values_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", {"item": pa.array([b"x" * 4096] * 3, pa.binary(4096))})
    with pytest.raises(InputError, match="column item holds values of 4096 bytes"):
        read(path, ["item"])


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"title": [["a"], ["b"]]}, r"column title holds List\(String\), no texts; set pair\.columns\.title"),
        ({"title": [{"a": 1}] * 2}, r"column title holds Struct\(.*\), no texts; set pair\.columns\.title"),
        ({"words": [{"a": 1}] * 2}, r"column words holds Struct\(.*\), no words; set pair\.columns\.attributes"),
    ],
)
def test_nested_columns_are_no_texts(tmp_path: Path, columns: dict[str, Any], said: str) -> None:
    path = write(tmp_path / "t.parquet", {"item": ["1", "2"], "title": ["a", "b"], "words": ["a", "b"], **columns})
    with pytest.raises(InputError, match=said):
        list(own_tables.read_items(path, ColumnsConfig(attributes=["words"]), Ledger(0.5), max_chars=99))


def test_a_column_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["n", "n"]), path)
    with pytest.raises(InputError, match="names the column 'n' twice; rename one"):
        parquet_batches.parquet_schema(path)
