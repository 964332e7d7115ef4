"""Ranks on nodes with disks of their own: all go on from the checkpoint that rank 0 names, or all say who cannot."""

import os
import shutil
import socket
from pathlib import Path

import pytest
import torch

from launch.artifacts import write_json
from launch.checkpoints import load_checkpoint, save_checkpoint
from launch.distributed import World
from launch.errors import InputError
from launch.seals import list_files, seal_files
from launch.state_key import state_key
from tests.ranks import run_ranks
from training.saved.resume import SEAL, newest_whole

STEPS = (4, 6)
CASES = ("stale", "other", "none_on_the_first")
HOST = socket.gethostname()


def write_graph_checkpoints(folder: Path) -> None:
    for step in STEPS:
        save_checkpoint(folder, step, {"weight": torch.full((50,), float(step))})


def write_positions(folder: Path) -> None:
    """What a fine-tune on two ranks leaves, as far as it is looked at before it is loaded."""
    for step in STEPS:
        position = folder / f"step-{step:09d}"
        (position / "pytorch_model").mkdir(parents=True)
        for rank in range(2):
            shard = position / "pytorch_model" / f"zero_pp_rank_{rank}_mp_rank_00_optim_states.pt"
            shard.write_bytes(bytes([step, rank]) * 100)
        write_json(position / "position.json", {"step": step, "world_size": 2})
        write_json(position / SEAL, seal_files(position, list_files(position, seal=SEAL), key=state_key()))


def spoil(case: str, disks: list[Path], name: str) -> None:
    """Make what lies on the second node's disk, or on the first one's, differ."""
    last = disks[1] / name
    if case == "none_on_the_first":
        shutil.rmtree(disks[0])
    elif case == "other" and last.is_dir():  # sealed whole, by another start
        (last / "pytorch_model" / "zero_pp_rank_1_mp_rank_00_optim_states.pt").write_bytes(b"another")
        write_json(last / SEAL, seal_files(last, list_files(last, seal=SEAL), key=state_key()))
    elif case == "other":
        save_checkpoint(disks[1], STEPS[-1], {"weight": torch.full((50,), -1.0)})
    elif last.is_dir():
        shutil.rmtree(last)
    else:
        last.unlink()


def go_on_everywhere(world: World, folder: Path) -> dict[str, str]:
    """What this rank says in every case, its own disk before it."""
    said = {}
    for case in CASES:
        with pytest.raises(InputError) as refused:
            load_checkpoint(folder / "graph" / case / f"disk_{world.rank}", world)
        said[f"graph {case}"] = str(refused.value)
        with pytest.raises(InputError) as refused:
            newest_whole(folder / "finetune" / case / f"disk_{world.rank}", world)
        said[f"finetune {case}"] = str(refused.value)
    return said


def test_ranks_disagree_on_checkpoint_refused(tmp_path: Path) -> None:
    for kind, write, name in (
        ("graph", write_graph_checkpoints, "step-000000006.pt"),
        ("finetune", write_positions, "step-000000006"),
    ):
        for case in CASES:
            disks = [tmp_path / kind / case / f"disk_{rank}" for rank in range(2)]
            write(disks[0])
            shutil.copytree(disks[0], disks[1])
            spoil(case, disks, name)
    ranks = run_ranks(go_on_everywhere, 2, tmp_path)
    for said in ranks:
        for case, sees in (("stale", "does not see it"), ("other", "sees another one"), (CASES[2], "sees checkpoints")):
            for kind in ("graph", "finetune"):
                line = said[f"{kind} {case}"]
                assert f"rank 1 on {HOST} {sees}, rank 0 on {HOST} " in line
                assert line.endswith("the run folder must be one folder that all nodes share")


def go_back(world: World, folder: Path) -> tuple[int, str | None]:
    saved, whole = load_checkpoint(folder / "graph", world), newest_whole(folder / "finetune", world)
    assert saved is not None
    return saved[0], None if whole is None else whole.name


def test_torn_checkpoint_falls_back(tmp_path: Path) -> None:
    write_graph_checkpoints(tmp_path / "graph")
    write_positions(tmp_path / "finetune")
    os.truncate(tmp_path / "graph" / "step-000000006.pt", 100)
    shard = tmp_path / "finetune" / "step-000000006" / "pytorch_model" / "zero_pp_rank_0_mp_rank_00_optim_states.pt"
    os.truncate(shard, 100)
    assert run_ranks(go_back, 2, tmp_path) == [(4, "step-000000004")] * 2


def start_anew(world: World, folder: Path) -> tuple[object, object]:
    return load_checkpoint(folder / "graph", world), newest_whole(folder / "finetune", world)


def test_only_torn_checkpoints_start_from_the_beginning(tmp_path: Path) -> None:
    """Killed while the first one was written."""
    write_graph_checkpoints(tmp_path / "graph")
    write_positions(tmp_path / "finetune")
    for step in STEPS:
        (tmp_path / "graph" / f"step-{step:09d}.json").unlink()
        shard = (
            tmp_path / "finetune" / f"step-{step:09d}" / "pytorch_model" / "zero_pp_rank_1_mp_rank_00_optim_states.pt"
        )
        os.truncate(shard, 100)
    assert run_ranks(start_anew, 2, tmp_path) == [(None, None)] * 2
