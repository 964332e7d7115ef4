"""The LLM engine: Accelerate over DeepSpeed, its configuration filled in by us, its ranks checked.

On CUDA the ranks talk over NCCL, elsewhere over gloo; ZeRO partitions either way.
"""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import deepspeed
import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.utils import DeepSpeedPlugin, InitProcessGroupKwargs
from deepspeed.git_version_info import installed_ops
from deepspeed.ops.op_builder import CPUAdamBuilder
from torch import nn
from torch.utils.cpp_extension import _get_build_directory
from transformers.utils.logging import disable_progress_bar

from launch.distributed import World, backend_of, join_alone
from launch.errors import InputError, first_line
from training.config import LlmConfig
from training.lessons.batches import LearntBatch, PaddedPrompts
from training.lessons.list_data import ListBatch
from training.lessons.twins import TwinRows
from training.tuning.allocator import LARGE, hand_back_blocks
from training.tuning.deepspeed_file import offloads_optimizer, read_deepspeed_file
from training.tuning.head import fuse_head
from training.tuning.layers import compile_layers, gather_whole_layers, whole_size
from training.tuning.list_loss import learn_lists
from training.tuning.losses import learnt_loss, twin_loss
from training.tuning.meter import Arithmetic, count_arithmetic, measure_peak
from training.tuning.optimizer import build_optimizer, check_optimizer

log = logging.getLogger(__name__)

CPU_ADAM = "zero_force_ds_cpu_optimizer"
# What an Accelerate file may say about DeepSpeed; the recipe and its DeepSpeed file alone count.
LAUNCHER_SETTINGS = ("ACCELERATE_CONFIG_DS_FIELDS", "ACCELERATE_GRADIENT_ACCUMULATION_STEPS")


@dataclass(frozen=True)
class Tuning:
    """A model and its optimizer under DeepSpeed."""

    model: Any  # Any: DeepSpeed's engine, untyped
    optimizer: Any  # Any: Accelerate's wrapper around DeepSpeed's optimizer, untyped
    fused: bool = False
    """Whether the model answers with its loss: see training.tuning.head."""

    def loss(self, batch: LearntBatch) -> torch.Tensor:
        """The summed loss of a batch's learnt tokens or lists: a scalar in fp32."""
        if isinstance(batch, ListBatch):
            return learn_lists(self.model, batch, fused=self.fused).loss
        if isinstance(batch, TwinRows):
            return twin_loss(self.model, batch, fused=self.fused)
        assert isinstance(batch, PaddedPrompts)
        return learnt_loss(self.model, batch, fused=self.fused)

    def measure(self, batch: LearntBatch) -> torch.Tensor:
        """[3]: the summed loss and, of lists, what `ListOutcome.measured` says, of others zeros."""
        if isinstance(batch, ListBatch):
            return learn_lists(self.model, batch, fused=self.fused).measured()
        loss = self.loss(batch)
        return torch.stack([loss, torch.zeros_like(loss), torch.zeros_like(loss)])

    @property
    def gradient_norm(self) -> float:
        """Of the last step, over all ranks, before it was clipped."""
        return float(self.model.get_global_grad_norm() or 0.0)

    def arithmetic(self, world: World) -> Arithmetic:
        """What a step costs, and what this rank could do: a matrix product is timed."""
        dtype = next(self.model.parameters()).dtype
        return count_arithmetic(self.model.module, peak=measure_peak(world.device, dtype))


def build_accelerator(config: LlmConfig, world: World, *, hidden_size: int) -> Accelerator:
    """Accelerate with DeepSpeed on the ranks of `world`. Refuses ranks that do not see each other."""
    _quiet_libraries()
    if world.device.type == "cpu":
        # An empty list of ops that could be compiled: DeepSpeed's own all-reduce for CPUs takes two minutes of g++
        # on a new machine and gloo serves as well.
        vars(deepspeed.ops).setdefault("__compatible_ops__", {})
    for name in LAUNCHER_SETTINGS:
        os.environ.pop(name, None)
    if world.size == 1:
        join_alone(world)
    cpu_adam = choose_cpu_adam(config, world)
    settings = deepspeed_settings(config, world, hidden_size=hidden_size, cpu_adam=cpu_adam)
    plugin = DeepSpeedPlugin(hf_ds_config=settings, zero3_init_flag=settings["zero_optimization"]["stage"] == 3)
    accelerator = Accelerator(
        mixed_precision="bf16" if config.precision == "bf16" else "no",
        deepspeed_plugin=plugin,
        gradient_accumulation_steps=settings["gradient_accumulation_steps"],
        kwargs_handlers=[InitProcessGroupKwargs(backend=backend_of(world.device))],
    )
    check_ranks(accelerator, world)
    return accelerator


def check_ranks(accelerator: Accelerator, world: World) -> None:
    """Raise where Accelerate counts other ranks than the process group: each would train alone on all batches."""
    grouped = dist.get_world_size() if dist.is_initialized() else 1
    if not accelerator.num_processes == grouped == world.size:
        raise InputError(
            f"the ranks of this fine-tune do not see each other: Accelerate counts {accelerator.num_processes}, the "
            f"process group {grouped}, the launcher {world.size}; start it with `kinrec finetune` or with `accelerate "
            "launch --config_file ds_configs/accelerate_cpu.yaml` (accelerate_gpu.yaml on GPUs)"
        )


def deepspeed_settings(
    config: LlmConfig, world: World, *, hidden_size: int, cpu_adam: bool = False
) -> dict[str, Any]:  # Any: JSON
    """The DeepSpeed file of `config` with every "auto" filled in."""
    assert config.precision != "auto", "resolve it first: see training.precision"
    path, settings = read_deepspeed_file(config)
    check_optimizer(config)
    on_cuda = world.device.type == "cuda"
    values = {
        "train_micro_batch_size_per_gpu": config.per_device_batch,
        "gradient_accumulation_steps": accumulation_steps(config, world.size),
        "gradient_clipping": config.clip_norm,
        "enabled": config.precision == "bf16",
        # Transformers' rules: a bucket holds a square matrix; vectors (norms, biases) are not partitioned.
        "reduce_bucket_size": max(hidden_size * hidden_size, 1 << 16),
        "allgather_bucket_size": max(hidden_size * hidden_size, 1 << 16),
        "stage3_prefetch_bucket_size": hidden_size * hidden_size * 9 // 10,
        "stage3_param_persistence_threshold": 10 * hidden_size,
        "pin_memory": on_cuda,
        CPU_ADAM: cpu_adam,
        "zero_hpz_partition_size": world.node_size if world.node_size < world.size else 1,
    }
    filled = _filled(settings, values, path)
    if config.optimizer != "adamw":
        filled["zero_allow_untested_optimizer"] = True
    group = filled["zero_optimization"].get("zero_hpz_partition_size", 1)
    if not isinstance(group, int) or group < 1 or world.size % group:
        raise InputError(
            f"{path}: zero_optimization.zero_hpz_partition_size is {group}, which does not divide {world.size} ranks; "
            "give the ranks of a node, on nodes of equal size"
        )
    return filled


def choose_cpu_adam(config: LlmConfig, world: World) -> bool:
    """Whether an offloaded optimizer is DeepSpeed's Adam for CPUs: where the file leaves it open and every rank has it.

    It is never compiled here: that takes minutes, and a start that is killed meanwhile leaves a lock for which all
    later ones wait without end. Torch's fused AdamW is as good. Call on all ranks.
    """
    _, settings = read_deepspeed_file(config)
    if not offloads_optimizer(settings) or settings.get(CPU_ADAM, True) != "auto":
        return False
    return all(world.gather_objects(has_cpu_adam()))


def has_cpu_adam() -> bool:
    """Whether DeepSpeed's Adam for CPUs was compiled on this machine and can be loaded."""
    builder = CPUAdamBuilder()
    folder = Path(_get_build_directory(builder.name, verbose=False))
    compiled = (folder / f"{builder.name}.so").is_file() and not (folder / "lock").exists()
    if not compiled and not installed_ops.get(builder.name, False):
        return False
    try:
        builder.load(verbose=False)
    except Exception as error:  # compiled for another processor or another torch: as good as not there
        log.info("DeepSpeed's CPU Adam cannot be loaded (%s): torch's fused AdamW takes its place", first_line(error))
        return False
    return True


def accumulation_steps(config: LlmConfig, world_size: int) -> int:
    """Micro-steps of an optimizer step; the last may be part empty."""
    return -(-config.global_batch // (config.per_device_batch * world_size))


def wrap(accelerator: Accelerator, model: nn.Module, config: LlmConfig) -> Tuning:
    """Partition `model` over the ranks, with an optimizer on what is trained. The model learns to answer with its loss,
    and its layers are compiled where the recipe says so."""
    if accelerator.device.type == "cpu" and sum(map(whole_size, model.parameters())) >= LARGE:
        hand_back_blocks()
    fused = fuse_head(model)
    if config.compile:
        gather_whole_layers(model)
    engine, wrapped = accelerator.prepare(model, build_optimizer(model, config))
    if config.compile:
        compile_layers(engine.module)
    return Tuning(model=engine, optimizer=wrapped, fused=fused)


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """(all parameters of the model, those that this rank holds)."""
    whole = sum(whole_size(parameter) for parameter in model.parameters())
    held = sum(
        parameter.ds_tensor.numel() if hasattr(parameter, "ds_tensor") else parameter.numel()
        for parameter in model.parameters()
    )
    return whole, held


def _filled(node: dict[str, Any], values: dict[str, Any], path: Path, prefix: str = "") -> dict[str, Any]:
    filled: dict[str, Any] = {}
    for key, value in node.items():
        if isinstance(value, dict):
            filled[key] = _filled(value, values, path, f"{prefix}{key}.")
        elif value == "auto":
            if key not in values:
                raise InputError(f'{path}: {prefix}{key} is "auto", which KinRec cannot fill in; give a value')
            filled[key] = values[key]
        else:
            filled[key] = value
    return filled


def _quiet_libraries() -> None:
    """No bars and no lines for every saved file: our own log says what happens."""
    disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers leaves it untyped
    deepspeed.utils.logger.setLevel(logging.WARNING)
    logging.getLogger("accelerate").setLevel(logging.WARNING)
