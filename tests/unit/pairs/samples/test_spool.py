"""Samples on disk: Parquet shards and the mapped Arrow file hold the same rows, and these are the ones appended."""

import gc
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from launch.errors import InputError
from pairs.samples.spool import SampleSpool, close_spools, open_spools
from pairs.samples.write_tables import as_table, write_users
from pairs.tables import ARROW_SCHEMA, SPLITS, Samples, Split, load_samples
from tests.sample_rows import Row, borders, cut_users, splits_of, splits_of_rows

COLUMNS = ("sample", "user", "domain", "target", "history", "offsets", "history_time", "target_time")
ROWS: dict[Split, list[Row]] = {
    split: [(user, [(n % 9, n) for n in range(user, 2 * user + 1)], (user % 9, 99)) for user in range(7)]
    for split in SPLITS
}


def spooled(folder: Path, batches: list[dict[Split, Samples]]) -> dict[Split, SampleSpool]:
    """All batches in spools that are closed."""
    spools = open_spools(folder / "spool")
    for batch in batches:
        for split, table in batch.items():
            spools[split].append(table)
    close_spools(spools)
    return spools


def write(run_dir: Path, splits: dict[Split, Samples]) -> Path:
    for spool in spooled(run_dir, [splits]).values():
        spool.publish(run_dir / "pair")
    return run_dir / "pair"


def assert_equal(one: Samples, other: Samples) -> None:
    for name in COLUMNS:
        left, right = getattr(one, name), getattr(other, name)
        assert (left is None and right is None) or np.array_equal(left, right), name


def shards(folder: Path, split: Split) -> list[Path]:
    return sorted((folder / f"{split}.parquet").iterdir())


@pytest.mark.parametrize("timed", [True, False], ids=["timed", "untimed"])
@settings(max_examples=20, deadline=None)
@given(rows=splits_of_rows, cuts=borders, shard_rows=st.integers(1, 7), group_rows=st.integers(1, 4))
def test_what_was_appended_in_batches_is_read_back_from_both_forms(
    timed: bool, rows: dict[Split, list[Row]], cuts: set[int], shard_rows: int, group_rows: int
) -> None:
    splits = splits_of(rows, timed=timed)
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr("pairs.samples.spool.SHARD_ROWS", shard_rows)
        patch.setattr("pairs.samples.spool.GROUP_ROWS", group_rows)
        run_dir = Path(name)
        spools = spooled(run_dir, cut_users(splits, cuts))
        for split, spool in spools.items():
            spool.publish(run_dir / "pair")
            assert_equal(load_samples(run_dir, split), splits[split])
            assert_equal(spool.read(0, len(spool)), splits[split])
            parts = [pq.read_table(path) for path in shards(run_dir / "pair", split)]
            assert [len(part) for part in parts[:-1]] == [shard_rows] * (len(parts) - 1)
            assert len(parts) == -(-len(splits[split]) // shard_rows)
            assert pa.concat_tables(parts).equals(as_table(splits[split]))


@given(begin=st.integers(0, 7), end=st.integers(0, 7))
def test_any_range_of_a_spool_is_those_rows(tmp_path_factory: pytest.TempPathFactory, begin: int, end: int) -> None:
    begin, end = min(begin, end), max(begin, end)
    splits = splits_of(ROWS)
    spool = spooled(tmp_path_factory.mktemp("spool"), [splits])["valid"]
    assert_equal(spool.read(begin, end), splits["valid"].take(np.arange(begin, end)))


def test_target_times_of_a_spool_are_the_earliest_and_the_latest_of_all_batches(tmp_path: Path) -> None:
    late, early = (splits_of({split: [(0, [(1, 1)], (2, time))] for split in SPLITS}) for time in (50, 40))
    assert spooled(tmp_path, [late, early])["test"].target_times == (40, 50)


def test_shards_of_one_split_may_be_scanned_as_one_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pairs.samples.spool.SHARD_ROWS", 3)
    monkeypatch.setattr("pairs.samples.spool.GROUP_ROWS", 2)
    splits = splits_of(ROWS)
    folder = write(tmp_path, splits)
    assert [path.name for path in shards(folder, "test")] == [f"part-{n:05d}.parquet" for n in range(3)]
    assert pl.read_parquet(folder / "test.parquet")["sample"].to_list() == splits["test"].sample.tolist()
    assert [pq.ParquetFile(path).num_row_groups for path in shards(folder, "test")] == [2, 2, 1]


@pytest.mark.parametrize("timed", [True, False], ids=["timed", "untimed"])
def test_arrow_file_opens_as_a_dataset_with_the_rows_and_columns_of_the_design(tmp_path: Path, timed: bool) -> None:
    splits = splits_of(ROWS, timed=timed)
    dataset = Dataset.from_file(str(write(tmp_path, splits) / "train.arrow"))
    assert dataset.column_names == ARROW_SCHEMA.names
    assert dataset.num_rows == len(splits["train"])
    row = dataset[4]
    assert (row["sample"], row["user"], row["target"]) == (4, 4, 4)
    assert row["history"] == splits["train"].history_of(4).tolist()
    assert row["target_time"] == (99 if timed else None)
    assert row["history_time"] == ([4, 5, 6, 7, 8] if timed else None)


def test_loaded_arrays_lie_in_the_mapped_file(tmp_path: Path) -> None:
    folder = write(tmp_path, splits_of(ROWS))
    before = pa.total_allocated_bytes()
    one, other = load_samples(tmp_path, "train"), load_samples(tmp_path, "train")
    assert pa.total_allocated_bytes() - before < 4096
    mapped = [line.split()[0] for line in Path("/proc/self/maps").read_text().splitlines() if str(folder) in line]
    ranges = [tuple(int(end, 16) for end in piece.split("-")) for piece in mapped]
    for table in (one, other):
        for array in (table.sample, table.user, table.target, table.history, table.offsets, table.history_time):
            assert array is not None
            assert not array.flags.owndata
            assert not array.flags.writeable
            address = array.__array_interface__["data"][0]
            assert any(begin <= address < end for begin, end in ranges)
    assert not np.shares_memory(one.history, other.history)
    expected = one.history.tolist()
    del one
    gc.collect()
    assert other.history.tolist() == expected


def test_arrays_outlive_the_file_s_name(tmp_path: Path) -> None:
    folder = write(tmp_path, splits_of(ROWS))
    table = load_samples(tmp_path, "test")
    (folder / "test.arrow").unlink()
    gc.collect()
    assert_equal(table, splits_of(ROWS)["test"])


def test_missing_file_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"train\.arrow: no such file; run `kinrec prepare` first"):
        load_samples(tmp_path, "train")


def test_split_without_samples_is_an_empty_table(tmp_path: Path) -> None:
    folder = write(tmp_path, splits_of({**ROWS, "valid": []}))
    assert len(load_samples(tmp_path, "valid")) == 0
    assert pl.read_parquet(folder / "valid.parquet").height == 0
    assert load_samples(tmp_path, "test").sample[0] == len(ROWS["train"])


def test_columns_longer_than_a_piece_are_written_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pairs.samples.spool.PIECE", 48)
    splits = splits_of(ROWS)
    write(tmp_path, splits)
    for split in SPLITS:
        assert_equal(load_samples(tmp_path, split), splits[split])


@pytest.mark.parametrize("height", [0, 1, 999, 1000, 1001, 3000])
def test_users_file_has_the_same_bytes_however_the_users_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, height: int
) -> None:
    monkeypatch.setattr("pairs.samples.write_tables.GROUP_ROWS", 1000)
    users = pl.DataFrame(
        {"user": range(height), "source_id": [f"A{n * 7919}" for n in range(height)]},
        schema={"user": pl.Int64, "source_id": pl.String},
    )
    for name, step in (("one", max(height, 1)), ("many", 7), ("odd", 1501)):
        write_users(tmp_path / name, (users[begin : begin + step] for begin in range(0, height, step)))
    written = [(tmp_path / name / "users.parquet").read_bytes() for name in ("one", "many", "odd")]
    assert written[0] == written[1] == written[2]
    assert pl.read_parquet(tmp_path / "many" / "users.parquet").equals(users)


def test_many_users_in_many_pieces_are_the_same_bytes(tmp_path: Path) -> None:
    ids = np.random.default_rng(0).permutation(300_000)
    users = pl.DataFrame({"user": range(300_000), "source_id": [f"user number {n}" for n in ids.tolist()]})
    write_users(tmp_path / "one", [users])
    write_users(tmp_path / "many", (users[begin : begin + 977] for begin in range(0, users.height, 977)))
    assert (tmp_path / "one" / "users.parquet").read_bytes() == (tmp_path / "many" / "users.parquet").read_bytes()
