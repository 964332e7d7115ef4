"""What a recipe needs, before anything of it is started.

kinrec plan RECIPE
kinrec plan RECIPE --nodes=8 --processes=8 --gpu-memory=80 --users=10000000 --items=5000000
"""

import argparse
import importlib
import subprocess
import sys
from pathlib import Path

from launch.cluster.allocation import count_nodes, read_allocation
from launch.config import Recipe
from launch.errors import InputError
from launch.pipeline import open_recipe
from launch.plan.counts import read_counts
from launch.plan.estimates import GIB, Estimate, Machine, Setting
from launch.plan.render import render
from launch.processes.children import run_module
from launch.processes.commands import count_gpus
from launch.stages import STAGES
from launch.terminal import shown_lines

GPU_UTILISATION, CPU_UTILISATION = 0.35, 0.15
"""Of the peak: what full fine-tunes reach on 8-GPU nodes; on a CPU core with wide bf16 units."""
GPU_TFLOPS = {0: 312.0, 81: 989.0}
"""bf16, dense, by the memory in GiB from which on: A100; H200 and larger. --tflops says better."""
CPU_TFLOPS = 0.1
"""Of a core, fp32."""
PROBE_SECONDS = 40.0
SMI_SECONDS = 10.0


def plan(words: list[str]) -> int:
    """`kinrec plan`: 0, or 1 where a stage does not fit."""
    parser = argparse.ArgumentParser(prog="kinrec plan", allow_abbrev=False)
    parser.add_argument("recipe", help="the name of a shipped recipe, or a .yaml file")
    parser.add_argument("--run_dir", type=Path, help="the run's folder; default runs/NAME")
    parser.add_argument("--nodes", type=int, help="nodes; default: the recipe's, or those of this job")
    parser.add_argument("--processes", type=int, help="ranks (GPUs) of a node; default: the recipe's, or those here")
    parser.add_argument("--gpu-memory", type=float, help="GiB of a GPU; default: that of the GPUs here; 0: CPUs")
    parser.add_argument("--tflops", type=float, help="of a rank at its peak; default by the GPU's memory")
    parser.add_argument("--users", type=int, help="users of the pair, where it is not prepared")
    parser.add_argument("--items", type=int, help="its items, both domains together")
    parser.add_argument("--interactions", type=int, help="its interactions; default 12 a user")
    parser.add_argument("--no-deepspeed", action="store_true", help="do not ask DeepSpeed's own estimator")
    known, overrides = parser.parse_known_args(words)
    for name in ("nodes", "processes", "tflops"):
        if getattr(known, name) is not None and getattr(known, name) <= 0:
            raise InputError(f"--{name} must be positive, got {getattr(known, name)}")
    recipe, run_dir = open_recipe(known.recipe, overrides, known.run_dir)
    counts = read_counts(recipe, run_dir, users=known.users, items=known.items, interactions=known.interactions)
    machine = machine_of(recipe, known.nodes, known.processes, known.gpu_memory, known.tflops)
    setting = Setting(recipe, run_dir, counts, machine)
    estimates = estimate_stages(setting)
    theirs = None if known.no_deepspeed else deepspeed_says(estimates, machine)
    sys.stdout.write(shown_lines(render(setting, estimates, theirs)))
    return 0 if all(_fits(estimate, machine) for estimate in estimates) else 1


def estimate_stages(setting: Setting) -> list[Estimate]:
    """Each stage's, by the package that knows it."""
    estimates = []
    for stage in STAGES:
        if stage.plan is not None:
            module, _, name = stage.plan.partition(":")
            estimate = getattr(importlib.import_module(module), name)(setting)
            assert isinstance(estimate, Estimate)
            estimates.append(estimate)
    return estimates


def machine_of(
    recipe: Recipe, nodes: int | None, processes: int | None, gpu_memory: float | None, tflops: float | None
) -> Machine:
    """Where the ranks are going to run: as said, as the recipe says, or as it is here."""
    if nodes is None:
        nodes = recipe.launch.nodes or count_nodes(None, read_allocation())
    if gpu_memory is None:
        gpu_memory = smallest_gpu() if count_gpus() else 0.0
    if gpu_memory < 0:
        raise InputError(f"--gpu-memory must not be negative, got {gpu_memory}")
    asked = recipe.slurm.gpus if recipe.launch.processes is None else None
    ranks = processes or recipe.launch.processes or asked or max(1, count_gpus())
    usual = next(value for least, value in reversed(GPU_TFLOPS.items()) if gpu_memory >= least)
    return Machine(
        nodes=nodes,
        processes=ranks,
        gpu_memory=gpu_memory * GIB if gpu_memory else None,
        flops=1e12 * (tflops or (usual if gpu_memory else CPU_TFLOPS)),
        utilisation=GPU_UTILISATION if gpu_memory else CPU_UTILISATION,
    )


def smallest_gpu() -> float:
    """GiB of the smallest GPU here; InputError where the driver does not say."""
    words = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(words, capture_output=True, text=True, timeout=SMI_SECONDS, check=True).stdout
        return min(float(line) for line in told.split()) / 1024
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise InputError("nvidia-smi does not say the memory of the GPUs here; give --gpu-memory=GIB") from error


def deepspeed_says(estimates: list[Estimate], machine: Machine) -> list[tuple[str, float, float]] | None:
    """DeepSpeed's own estimate of model states, (what, GPU bytes a rank, host bytes a node); None without an answer."""
    model = next((estimate.model for estimate in estimates if estimate.model is not None), None)
    if model is None:
        return None
    arguments = [*map(str, model), str(machine.processes), str(machine.nodes)]
    outcome = run_module("launch.plan.deepspeed_probe", arguments, seconds=PROBE_SECONDS)
    rows = [(said["what"], float(said["gpu"]), float(said["host"])) for said in outcome.answers]
    return rows if outcome.status == 0 else None


def _fits(estimate: Estimate, machine: Machine) -> bool:
    return machine.gpu_memory is None or estimate.rank_memory <= machine.gpu_memory
