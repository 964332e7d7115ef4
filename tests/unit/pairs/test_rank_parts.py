"""Rows of several ranks come together by their ids, some at a time, and their files go."""

from pathlib import Path

import numpy as np
import pytest
import torch

from launch.distributed import World
from pairs import rank_parts
from pairs.rank_parts import PartColumn, PartWriter, joined, writing

COLUMNS = {"items": PartColumn(np.int32, 3), "scores": PartColumn(np.float32, 2)}
RANDOM = np.random.default_rng(1)
KEYS = RANDOM.permutation(90)[:40]
ITEMS, SCORES = RANDOM.integers(0, 100, (40, 3)), RANDOM.random((40, 2)).astype(np.float32)


def write(part: PartWriter, rows: range) -> None:
    for start in range(rows.start, rows.stop, 7):
        some = slice(start, min(start + 7, rows.stop))
        part.add(KEYS[some], items=ITEMS[some], scores=SCORES[some])


def alone(rank: int) -> World:
    return World(rank=rank, size=1, local_rank=0, device=torch.device("cpu"))


@pytest.mark.parametrize("rows_at_once", [6, 1000])
@pytest.mark.parametrize("shares", [[range(40)], [range(15), range(15, 40)], [range(15), range(0), range(15, 40)]])
def test_rows_come_by_id_whoever_wrote_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shares: list[range], rows_at_once: int
) -> None:
    monkeypatch.setattr(rank_parts, "ROWS_AT_ONCE", rows_at_once)
    for rank, rows in enumerate(shares):
        with writing(tmp_path / "parts", "lists", COLUMNS, alone(rank)) as part:
            write(part, rows)
    blocks = list(joined(tmp_path / "parts", "lists", COLUMNS, len(shares)))
    assert max(len(key) for key, _ in blocks) <= rows_at_once
    order = np.argsort(KEYS)
    np.testing.assert_array_equal(np.concatenate([key for key, _ in blocks]), KEYS[order])
    np.testing.assert_array_equal(np.concatenate([values["items"] for _, values in blocks]), ITEMS[order])
    np.testing.assert_array_equal(np.concatenate([values["scores"] for _, values in blocks]), SCORES[order])
    assert list((tmp_path / "parts").iterdir()) == []


def test_what_a_killed_start_left_is_written_over(tmp_path: Path) -> None:
    with writing(tmp_path, "lists", COLUMNS, alone(0)) as part:
        write(part, range(40))
    with writing(tmp_path, "lists", COLUMNS, alone(0)) as part:
        write(part, range(5))
    ((key, _),) = joined(tmp_path, "lists", COLUMNS, 1)
    assert sorted(key) == sorted(KEYS[:5])


def test_a_row_that_two_ranks_wrote_is_seen(tmp_path: Path) -> None:
    for rank in range(2):
        with writing(tmp_path, "lists", COLUMNS, alone(rank)) as part:
            write(part, range(3))
    with pytest.raises(AssertionError, match="some row was written twice"):
        list(joined(tmp_path, "lists", COLUMNS, 2))
