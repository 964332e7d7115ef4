"""What a recipe needs, before anything of it is started.

kinrec plan RECIPE
kinrec plan RECIPE --nodes=8 --processes=8 --gpu-memory=80 --users=10000000 --items=5000000
"""

import argparse
import importlib
import math
import sys
from pathlib import Path

from launch.errors import InputError
from launch.pipeline import open_recipe
from launch.plan.counts import read_counts
from launch.plan.estimates import Estimate, Machine, Setting
from launch.plan.machines import machine_of
from launch.plan.render import render
from launch.processes.children import run_module
from launch.stages import STAGES
from launch.terminal import shown_lines

PROBE_SECONDS = 40.0


def plan(words: list[str]) -> int:
    """`kinrec plan`: 0, or 1 where a stage does not fit."""
    parser = argparse.ArgumentParser(prog="kinrec plan", allow_abbrev=False)
    parser.add_argument("recipe", help="the name of a shipped recipe, or a .yaml file")
    parser.add_argument("--run_dir", type=Path, help="the run's folder; default runs/NAME")
    parser.add_argument("--nodes", type=int, help="nodes; default: the recipe's, or those of this job")
    parser.add_argument("--processes", type=int, help="ranks (GPUs) of a node; default: the recipe's, or those here")
    parser.add_argument("--gpu-memory", type=float, help="GiB of a GPU; default: that of the GPUs here; 0: CPUs")
    parser.add_argument(
        "--tflops", type=float, help="of a rank at its peak, on CPUs in fp32; default by the GPU's memory"
    )
    parser.add_argument("--users", type=int, help="users of the pair, where it is not prepared")
    parser.add_argument("--items", type=int, help="its items, both domains together")
    parser.add_argument("--interactions", type=int, help="its interactions; default 12 a user")
    parser.add_argument("--no-deepspeed", action="store_true", help="do not ask DeepSpeed's own estimator")
    known, overrides = parser.parse_known_args(words)
    for name in ("nodes", "processes", "tflops", "users", "items", "interactions"):
        given = getattr(known, name)
        if given is not None and not 0 < given < math.inf:
            raise InputError(f"--{name} must be positive, got {given}")
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
