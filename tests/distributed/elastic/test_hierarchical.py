"""zero3_multinode on four ranks as two nodes of two: the losses of zero3; its checkpoints serve other ranks."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from launch.distributed import World
from tests.distributed.curves import lines_of
from tests.distributed.finetune_ranks import TINY, prepare_run, run_finetune, run_until_killed
from tests.ranks import run_ranks

pytestmark = pytest.mark.slow
PLAIN = replace(TINY, per_device_batch=1, checkpoint_every=3, eval_every=6)
NODES = replace(PLAIN, deepspeed="zero3_multinode")


def on_two_nodes(world: World, folder: Path) -> list[tuple[int, int]]:
    """A whole run under zero3, one under zero3_multinode that is stopped; how a weight was divided in the second."""
    os.environ["LOCAL_WORLD_SIZE"] = "2"
    run_finetune(world, folder / "plain", PLAIN)
    divided: list[tuple[int, int]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.finetune._report_shares", lambda model, *_: divided.extend(_pieces(model)))
        run_until_killed(world, folder / "nodes", NODES, step=4)
    return divided


def _pieces(model: object) -> list[tuple[int, int]]:
    """(numbers of the piece of all ranks, of the piece inside the node) for each divided weight."""
    return [
        (weight.ds_tensor.numel(), weight.ds_secondary_tensor.numel())
        for weight in model.parameters()  # type: ignore[attr-defined]  # an nn.Module
        if weight.ds_secondary_tensor is not None
    ]


def test_two_nodes_of_two_ranks_have_the_losses_of_zero3(tmp_path: Path) -> None:
    prepare_run(tmp_path / "plain")
    shutil.copytree(tmp_path / "plain", tmp_path / "nodes")
    for divided in run_ranks(on_two_nodes, 4, tmp_path):
        assert divided
        assert all(inside == 2 * among_all for among_all, inside in divided)
    run_ranks(run_finetune, 2, tmp_path / "nodes", NODES)
    plain, nodes = lines_of(tmp_path / "plain", "finetune"), lines_of(tmp_path / "nodes", "finetune")
    for tag in ("finetune/loss", "finetune/valid_loss"):
        assert [step for step, _ in nodes[tag]] == [step for step, _ in plain[tag]]
        assert [value for _, value in nodes[tag]] == pytest.approx([value for _, value in plain[tag]], rel=2e-4)
