"""Two ranks see each other, and what they compute together is what one would."""

from typing import Any

import pytest
import torch

from launch.distributed import World
from tests.ranks import run_ranks


def exchange(world: World) -> dict[str, Any]:
    return {
        "sum": world.sum(torch.tensor([1.0, world.rank])).tolist(),
        "gather": [part.tolist() for part in world.gather(torch.arange(world.rank + 1))],
        "objects": world.gather_objects({"rank": world.rank}),
        "broadcast": world.broadcast_object(f"from {world.rank}"),
        "share": list(world.share(5)),
    }


def test_two_ranks_exchange() -> None:
    first, second = run_ranks(exchange, 2)
    assert first["sum"] == second["sum"] == [2.0, 1.0]
    assert first["gather"] == second["gather"] == [[0], [0, 1]]
    assert first["objects"] == second["objects"] == [{"rank": 0}, {"rank": 1}]
    assert first["broadcast"] == second["broadcast"] == "from 0"
    assert first["share"] + second["share"] == [0, 1, 2, 3, 4]


def gather_without_objects(world: World) -> list[list[list[int]]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr("torch.distributed.all_gather_object")  # it pickles, and waits for two rounds
        gathered = [world.gather(torch.arange(2 * n).reshape(n, 2)) for n in (world.rank, 0)]
    return [[part.tolist() for part in parts] for parts in gathered]


def test_tensors_are_gathered_as_tensors() -> None:
    assert run_ranks(gather_without_objects, 2) == [[[[], [[0, 1]]], [[], []]]] * 2


def exchange_rows(world: World) -> list[list[list[int]]]:
    rows = torch.arange(6).reshape(3, 2) + 10 * world.rank
    return [part.tolist() for cuts in ([0, 1, 3], [0, 3, 3]) for part in world.exchange(rows, cuts)]


def test_each_rank_gets_its_rows_from_all() -> None:
    first, second = run_ranks(exchange_rows, 2)
    whole = [[0, 1], [2, 3], [4, 5]], [[10, 11], [12, 13], [14, 15]]
    assert first == [whole[0][:1], whole[1][:1], *whole]
    assert second == [whole[0][1:], whole[1][1:], [], []]


def ask_once(world: World) -> tuple[int, list[int]]:
    asked = []

    def question() -> int:
        asked.append(world.rank)
        return 10 + world.rank

    return world.ask_main(question), asked


def test_only_the_first_rank_asks() -> None:
    assert run_ranks(ask_once, 2) == [(10, [0]), (10, [])]


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("n", [0, 1, 5, 21])
def test_shares_cover_everything_once(n: int, size: int) -> None:
    shares = [World(rank=r, size=size, local_rank=r, device=torch.device("cpu")).share(n) for r in range(size)]
    assert [i for share in shares for i in share] == list(range(n))


def test_single_process_is_a_world() -> None:
    world = World(rank=0, size=1, local_rank=0, device=torch.device("cpu"))
    assert world.sum(torch.ones(2)).tolist() == [1.0, 1.0]
    assert world.gather_objects("a") == ["a"]
