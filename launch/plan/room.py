"""Say that a stage needs more memory than there is, before it is started rather than in its last hour."""

import importlib
import logging
from pathlib import Path

from launch.config import Recipe
from launch.errors import InputError
from launch.plan.control_groups import most_memory
from launch.plan.counts import read_counts
from launch.plan.estimates import GIB, MIB, Estimate, Setting, total
from launch.plan.machines import machine_of
from launch.stages import Stage

LIBRARIES = 350 * MIB
"""Of a process with Python, torch and the like; estimates are of what comes on top."""
RELIEF = {
    "prepare": "lower pair.memory_gib or raise pair.k_core",
    "pretrain": "lower graph.model.window or graph.schedule.global_batch, or do without graph.model.evidence",
    "retrieve": "lower retrieval.block, or take more nodes (launch.nodes)",
    "tokenize": "lower prompts.max_train_samples or prompts.num_workers",
    "finetune": "take llm.deepspeed=zero3 or zero3_offload, lower llm.per_device_batch, or set llm.lora.enabled=true",
    "generate": "lower generation.batch_tokens or launch.processes",
    "evaluate": "lower evaluation.max_samples, evaluation.list_depth or launch.processes",
}
"""What a stage needs less with."""
log = logging.getLogger(__name__)


def check_room(stage: Stage, recipe: Recipe, run_dir: Path) -> None:
    """InputError where this machine has less memory than `stage` is estimated to need at its peak.

    Nothing is said where nobody knows yet how much data there is, nor with `launch.check_memory: false`.
    """
    if stage.plan is None or not recipe.launch.check_memory:
        return
    module, _, name = stage.plan.partition(":")
    try:
        counts = read_counts(recipe, run_dir, users=None, items=None, interactions=None)
        machine = machine_of(recipe, None, None, None, None)
        setting = Setting(recipe, run_dir, counts, machine)
        estimate: Estimate = getattr(importlib.import_module(module), name)(setting)
    except InputError:  # a pair that is not prepared, a base model that is not there: who needs it says so
        return
    need, there = host_need(estimate, setting, stage), most_memory()
    log.debug("%s: about %.1f GiB of %.1f", stage.name, need / GIB, there / GIB)
    if need > there:
        parts = [*estimate.host, *([] if machine.on_gpus else estimate.memory)]
        largest = max(parts, key=lambda part: part.size)
        raise InputError(
            f"{stage.name} would need about {need / GIB:.1f} GiB of memory here, most of it for {largest.name}, and "
            f"there are {there / GIB:.1f}; {RELIEF[stage.name]}; launch.check_memory=false starts it all the same"
        )


def host_need(estimate: Estimate, setting: Setting, stage: Stage) -> float:
    """Bytes of a node's memory: what its ranks share or hold beside GPUs, their own where they have none, libraries."""
    processes = 1 if stage.starter == "python" else setting.machine.processes
    of_ranks = 0.0 if setting.machine.on_gpus else processes * estimate.rank_memory
    return total(estimate.host) + of_ranks + processes * LIBRARIES
