"""Parts are named by their rows: what is missing is what no name covers."""

from pathlib import Path

from pairs.row_parts import finished_parts, missing_rows, part_path


def test_missing_rows_are_what_no_part_holds() -> None:
    assert missing_rows(10, []) == [range(10)]
    assert missing_rows(10, [range(2), range(2, 3), range(6, 8)]) == [range(3, 6), range(8, 10)]
    assert missing_rows(8, [range(8)]) == []
    assert missing_rows(0, []) == []


def test_parts_are_found_in_order_and_half_written_ones_are_not(tmp_path: Path) -> None:
    assert finished_parts(tmp_path / "absent") == []
    for rows in (range(900, 1000), range(2), range(2, 900)):
        part_path(tmp_path, rows).touch()
    (tmp_path / f".{part_path(tmp_path, range(1000, 1100)).name}.7.partial").touch()
    (tmp_path / "00000003.parquet").touch()
    assert finished_parts(tmp_path) == [range(2), range(2, 900), range(900, 1000)]
