"""Turns cover every row once, and what a rank answers over a stretch is contiguous."""

import numpy as np
import pytest

from retrieval.turns import turns_of


@pytest.mark.parametrize("size", [1, 2, 3, 64])
@pytest.mark.parametrize("gaps", [[range(50)], [range(3, 4), range(10, 31)], []])
def test_every_row_is_one_ranks_once_and_its_rows_are_contiguous(size: int, gaps: list[range]) -> None:
    turns = turns_of(gaps, block=4, size=size)
    assert sorted(row for turn in turns for row in turn.rows.tolist()) == [row for gap in gaps for row in gap]
    assert all(turn.rows.tolist() == sorted(turn.rows.tolist()) for turn in turns)
    assert all(sum(len(turn.of_rank(rank)) for rank in range(size)) == len(turn.rows) for turn in turns)
    for rank in range(size):
        part: list[int] = []
        for turn in turns:
            part += turn.of_rank(rank).tolist()
            if turn.is_last:
                assert part == list(range(part[0], part[0] + len(part))) if part else True
                assert len(part) <= 4
                part = []
        assert part == []


def test_turns_are_about_as_large_as_a_block() -> None:
    sizes = [len(turn.rows) for turn in turns_of([range(100_000)], block=1000, size=16)]
    assert max(sizes) <= 1000 + 16
    assert len(sizes) <= 101


def test_a_rank_alone_answers_blocks() -> None:
    turns = turns_of([range(10)], block=4, size=1)
    assert [turn.rows.tolist() for turn in turns] == [np.arange(4).tolist(), [4, 5, 6, 7], [8, 9]]
