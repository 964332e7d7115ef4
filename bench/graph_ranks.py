"""The graph stage's trainer on several gloo ranks, for `bench.graph`; the ranks' own part is started by torchrun.

python -m bench.graph_ranks RUN_DIR     (under torchrun; writes RUN_DIR/ranks/ranks.json)
"""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from safetensors.torch import load_file

from bench.graph_training import some_rows, train_preset
from graph.load import prepare
from graph.presets import BEST
from launch.artifacts import read_json, write_json
from launch.distributed import World, init_world
from pairs.tables import load_samples

SMALL = replace(
    BEST,
    model=replace(BEST.model, encoder="attention", tie_head=True, dim=32, dropout=0.0, evidence=False),
    loss=replace(BEST.loss, fused_weight=0.0),
)
"""Encoders of attention, whose gradients are many; without evidence, whose graph takes every rank seconds to build."""
NUM_TRAIN, NUM_VALID, EPOCHS = 512, 64, 3


def main() -> None:
    """Train on this rank."""
    run_dir = Path(sys.argv[1])
    with init_world() as world:
        seconds = train_small(run_dir, run_dir / "ranks", world)
        if world.is_main:
            write_json(run_dir / "ranks" / "ranks.json", {"epoch_seconds": seconds})


def measure_ranks(run_dir: Path, *, ranks: int, world: World) -> dict[str, float]:
    """Seconds an epoch on one rank, which is this process, and on several; they must end with the same weights."""
    seconds = {"one": train_small(run_dir, run_dir / "one", world)}
    launched = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks),
         "-m", "bench.graph_ranks", str(run_dir)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if launched.returncode:
        raise RuntimeError(f"the ranks failed, exit status {launched.returncode}: {launched.stderr[-2000:]}")
    seconds["ranks"] = float(read_json(run_dir / "ranks" / "ranks.json")["epoch_seconds"])
    alone, other = (load_file(run_dir / name / "best.safetensors") for name in ("one", "ranks"))
    far = {name: float((alone[name] - other[name]).abs().max()) for name in alone}
    assert max(far.values()) < 1e-3, f"{ranks} ranks end with other weights than one: {far}"
    return seconds


def train_small(run_dir: Path, folder: Path, world: World) -> float:
    """Seconds of the fastest epoch of a small model."""
    prepared = prepare(run_dir, SMALL, world)
    train = some_rows(prepared.train, NUM_TRAIN)
    valid = some_rows(load_samples(run_dir, "valid"), NUM_VALID)
    return train_preset(prepared, SMALL, train, valid, epochs=EPOCHS, folder=folder, world=world).epoch_seconds


if __name__ == "__main__":
    main()
