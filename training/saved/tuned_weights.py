"""From partitioned weights under training to a plain model folder: gather, merge adapters, save."""

import shutil
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from peft import LoraConfig as PeftLora
from peft import PeftModel, get_peft_model
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from launch.artifacts import atomic_folder, write_json
from launch.distributed import World
from launch.errors import InputError
from launch.seals import digest_files, first_difference, list_files, read_seal, seal_files
from launch.watch.beats import long
from training.config import LoraConfig
from training.saved.four_bits import whole_weights

SEAL = "seal.json"
PEFT_PREFIX = "base_model.model."


def add_adapters(model: PreTrainedModel, config: LoraConfig) -> nn.Module:
    """`model` frozen, with low-rank adapters that train."""
    settings = PeftLora(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=list(config.target_modules),
        task_type="CAUSAL_LM",
    )
    try:
        adapted = get_peft_model(model, settings)
    except ValueError as error:
        raise InputError(f"llm.lora.target_modules={config.target_modules}: {error}") from error
    assert isinstance(adapted, nn.Module)
    return adapted


def save_weights(
    accelerator: Accelerator, model: Any, folder: Path, *, world: World, lora: LoraConfig
) -> None:  # Any: DeepSpeed's engine
    """Gather the weights of all ranks and write them as a plain model folder, adapters merged. Call on all ranks."""
    state = accelerator.get_state_dict(model)
    if world.is_main:
        plain = accelerator.unwrap_model(model)
        state = whole_weights(state, plain)
        if isinstance(plain, PeftModel):
            plain = plain.get_base_model()
            state = merge_adapters(state, scale=lora.alpha / lora.rank)
        assert isinstance(plain, PreTrainedModel)
        with atomic_folder(folder) as partial:
            plain.save_pretrained(partial, state_dict=state)
            for file in partial.iterdir():
                file.chmod(0o644)  # safetensors makes files that only their owner can read
            write_json(partial / SEAL, seal_files(partial, list_files(partial, seal=SEAL), key=None))
    world.barrier()


def why_damaged(folder: Path) -> str | None:
    """None if the weights in `folder` are as `save_weights` wrote them, else what is not."""
    try:
        sealed = read_seal(folder / SEAL, key=None)
    except ValueError as error:
        return str(error)
    return first_difference(sealed, digest_files(folder, list_files(folder, seal=SEAL)))


def publish(folder: Path, *, weights: Path, tokenizer: PreTrainedTokenizerBase, world: World) -> None:
    """The final model folder: the weights of `weights` and the tokenizer. InputError where the weights were damaged
    since they were written. Call on all ranks."""
    why = world.broadcast_object(why_damaged(weights) if world.is_main else None)
    if why is not None:
        raise InputError(f"{weights}: damaged ({why}); start the stage again, it trains them anew")
    if world.is_main:
        with long("publishing the model"), atomic_folder(folder) as partial:
            shutil.copytree(weights, partial, dirs_exist_ok=True, ignore=shutil.ignore_patterns(SEAL))
            tokenizer.save_pretrained(partial)
    world.barrier()


def merge_adapters(state: dict[str, torch.Tensor], *, scale: float) -> dict[str, torch.Tensor]:
    """Plain weights out of those of a model with adapters: W + scale * B A, computed in fp32."""
    merged: dict[str, torch.Tensor] = {}
    for name, weight in state.items():
        if ".lora_" in name:
            continue
        stem = name.replace(".base_layer.weight", "")
        if stem != name:
            down = state[f"{stem}.lora_A.default.weight"].float()
            up = state[f"{stem}.lora_B.default.weight"].float()
            weight = (weight.float() + scale * (up @ down)).to(weight.dtype)
        merged[name.removeprefix(PEFT_PREFIX).replace(".base_layer.", ".")] = weight
    return merged
