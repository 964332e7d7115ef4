"""Work side by side: in order, not far ahead, with its errors; and whose threads a rank has."""

import threading
from collections.abc import Iterator

import pytest
import torch

from launch.distributed import ALONE, World
from launch.processes.threads import num_threads, of_waiting_ranks, side_by_side


@pytest.mark.parametrize("most", [1, 2, 4])
def test_what_is_made_comes_in_the_order_of_its_tasks(most: int) -> None:
    begun = []

    def tasks() -> Iterator[int]:
        for number in range(20):
            begun.append(number)
            yield number

    made = []
    for square in side_by_side(lambda number: number**2, tasks(), threads=most):
        made.append(square)
        assert len(begun) <= len(made) + most, "too far ahead: what waits takes memory"
    assert made == [number**2 for number in range(20)]


def test_as_many_work_at_a_time_as_there_are_threads() -> None:
    meeting = threading.Barrier(3, timeout=20)  # passed by three at a time alone
    assert len(list(side_by_side(lambda _: meeting.wait(), range(9), threads=3))) == 9


def test_an_error_is_that_of_the_first_task_that_has_one() -> None:
    made = side_by_side(lambda number: 1 // (number - 2), range(5), threads=2)
    assert [next(made), next(made)] == [-1, -1]
    with pytest.raises(ZeroDivisionError):
        next(made)


def test_a_rank_has_the_threads_of_those_who_wait_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    own = num_threads()
    monkeypatch.setattr("launch.ranks.local_world_size", lambda: 3)
    world = World(rank=0, size=6, local_rank=0, device=torch.device("cpu"))
    with pytest.raises(RuntimeError), of_waiting_ranks(world):
        assert num_threads() == 3 * own
        raise RuntimeError
    assert num_threads() == own
    with of_waiting_ranks(ALONE):
        assert num_threads() == own
