"""Who is blamed after a time-out."""

from typing import Any

from launch.watch.verdict import report
from tests.unit.launch.watch.beat_files import a_beat


def late(rank: int, **facts: Any) -> Any:
    """A rank that has stood still, with what it left at the time-out."""
    return a_beat(rank, idle=700.0, timed_out={"where": "graph/training.py:1 in step", "waits": False, **facts})


def test_rank_without_a_beat_never_started() -> None:
    assert report({0: late(0)}, living={0}, size=3)[-1] == "rank 1, 2 of 3 never started"


def test_silent_rank_is_blamed_and_the_others_wait() -> None:
    lines = report({0: late(0), 1: a_beat(1)}, living={0}, size=2)
    assert lines[0].startswith("rank 0 on node1 waits for 700 s, at graph/training.py:1 in step")
    assert lines[-1].startswith("rank 1 on node2 gives no sign of life since")
    assert lines[-1].endswith("(finetune, step 41 of 300)")


def test_rank_behind_in_collectives_is_blamed() -> None:
    beats = {0: late(0, collectives={"0": 12}, waits=True), 1: late(1, collectives={"0": 11})}
    assert report(beats, living={0, 1}, size=2)[-1].startswith("rank 1 on node2 stands still for 700 s in its own code")


def test_rank_that_is_cut_off_is_blamed() -> None:
    beats = {0: late(0, reaches=True, waits=True), 1: late(1, reaches=False, waits=True)}
    assert report(beats, living={0, 1}, size=2)[-1].startswith("rank 1 on node2 cannot reach the first node")


def test_nobody_is_blamed_where_nothing_tells_the_ranks_apart() -> None:
    beats = {rank: late(rank, collectives={"0": 12}, waits=True) for rank in (0, 1)}
    assert "all 2 ranks stand still in the same step" in report(beats, living={0, 1}, size=2)[-1]


def test_rank_late_in_a_loop_of_its_own_is_blamed_though_the_other_moves() -> None:
    beats = {0: a_beat(0, alone=True), 1: late(1)._replace(alone=True)}
    assert report(beats, living={0, 1}, size=2)[-1].startswith("rank 1 on node2 stands still")
