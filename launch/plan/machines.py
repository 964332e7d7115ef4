"""Where the ranks of a recipe are going to run."""

import math
import subprocess

from launch.cluster.allocation import count_nodes, read_allocation
from launch.config import Recipe
from launch.errors import InputError
from launch.plan.estimates import GIB, Machine
from launch.processes.commands import count_gpus

UTILISATION = 0.35
"""Of the peak: what full fine-tunes reach on 8-GPU nodes; and on CPUs, by their own logs (the demo .37 to .41, SmolLM2
with layers compiled .31 to .38)."""
GPU_TFLOPS = {0: 312.0, 81: 989.0}
"""bf16, dense, by the memory in GiB from which on: A100; H200 and larger. --tflops says better."""
CPU_TFLOPS = 0.1
"""Of a core, fp32."""
SMI_SECONDS = 10.0


def machine_of(
    recipe: Recipe, nodes: int | None, processes: int | None, gpu_memory: float | None, tflops: float | None
) -> Machine:
    """Where the ranks are going to run: as said, as the recipe says, or as it is here."""
    if nodes is None:
        nodes = recipe.launch.nodes or count_nodes(None, read_allocation())
    if gpu_memory is None:
        gpu_memory = smallest_gpu() if count_gpus() else 0.0
    if not 0 <= gpu_memory < math.inf:
        raise InputError(f"--gpu-memory must be a number that is not negative, got {gpu_memory}")
    asked = recipe.slurm.gpus if recipe.launch.processes is None else None
    ranks = processes or recipe.launch.processes or asked or max(1, count_gpus())
    usual = next(value for least, value in reversed(GPU_TFLOPS.items()) if gpu_memory >= least)
    return Machine(
        nodes=nodes,
        processes=ranks,
        gpu_memory=gpu_memory * GIB if gpu_memory else None,
        flops=1e12 * (tflops or (usual if gpu_memory else CPU_TFLOPS)),
        utilisation=UTILISATION,
    )


def smallest_gpu() -> float:
    """GiB of the smallest GPU here; InputError where the driver does not say."""
    words = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(words, capture_output=True, text=True, timeout=SMI_SECONDS, check=True).stdout
        return min(float(line) for line in told.split()) / 1024
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise InputError("nvidia-smi does not say the memory of the GPUs here; give --gpu-memory=GIB") from error
