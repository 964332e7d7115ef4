"""Frozen weights in 4 bits beside adapters that train (Dettmers et al. 2023: QLoRA), through bitsandbytes.

The decoder's linear layers take half a byte a weight and an eighth of a bit for their scales; embeddings, norms and
head stay as they are. What is saved in the end are plain weights: those that the 4 bits stand for, adapters added.
"""

import importlib
import logging
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from launch.errors import InputError

BITS = "bitsandbytes"
QUANT_TYPE = "nf4"
BLOCK = 64
"""Weights that share a scale."""
MOST_WHOLE = 0.9
log = logging.getLogger(__name__)


def bitsandbytes_for(what: str) -> Any:  # Any: the package is untyped
    """The package, imported only when it is asked for: it looks for GPUs' libraries then. InputError without it."""
    try:
        return importlib.import_module(BITS)
    except (ImportError, OSError, RuntimeError) as error:
        raise InputError(
            f"{what} needs the package {BITS}: pip install 'kinrec[bits]' (it cannot be loaded: {error})"
        ) from error


def to_four_bits(model: PreTrainedModel, layers: Iterable[nn.Module], device: torch.device) -> None:
    """Replace the linear layers inside of `layers`, in place, on `device`."""
    bits, odd = bitsandbytes_for(f"llm.lora.base={QUANT_TYPE}"), set[str]()
    whole = packed = 0
    for layer in layers:
        whole += sum(map(nn.Parameter.numel, layer.parameters()))
        plain = [(name, module) for name, module in layer.named_modules() if type(module) is nn.Linear]
        for name, module in plain:
            if module.in_features % BLOCK:  # on CPUs the package reads such rows with the wrong scales
                odd.add(f"{name} ({module.in_features})")
                continue
            packed += module.weight.numel()
            made = bits.nn.Linear4bit(
                module.in_features, module.out_features, bias=module.bias is not None,
                compute_dtype=module.weight.dtype, quant_type=QUANT_TYPE,
            )  # fmt: skip
            made.weight = bits.nn.Params4bit(module.weight.data, requires_grad=False, quant_type=QUANT_TYPE)
            made.bias = module.bias
            # On CPUs the package repacks weights when they are first asked without gradients, and rounds their scales:
            # what is saved, and learnt from then on, would depend on when that was.
            made.support_avx512bf16_for_cpu = False
            made.requires_grad_(False)
            parent, _, leaf = name.rpartition(".")
            setattr(layer.get_submodule(parent), leaf, made.to(device))
    if packed == 0:
        raise InputError(
            f"llm.lora.base={QUANT_TYPE}: the decoder of this model ({model.config.model_type}) has no linear layers "
            "that can be in 4 bits; set llm.lora.base=whole"
        )
    if packed < MOST_WHOLE * whole:
        log.warning("only %.0f %% of the decoder's weights are in linear layers and so in 4 bits", 100 * packed / whole)
    if odd:
        log.warning("left whole, their inputs being no multiple of %d: %s", BLOCK, ", ".join(sorted(odd)))
    vars(model)["is_loaded_in_4bit"] = True  # as peft looks for it, to put adapters beside such layers


def has_four_bits(model: nn.Module) -> bool:
    """Whether some of a model's weights are in 4 bits."""
    return any(True for _ in _in_four_bits(model))


def whole_weights(state: dict[str, torch.Tensor], model: nn.Module) -> dict[str, torch.Tensor]:
    """The state of a model with plain weights for those in 4 bits."""
    state = dict(state)
    for name, module in _in_four_bits(model):
        stem = f"{name}.weight"
        for key in [key for key in state if key.startswith(f"{stem}.")]:  # the scales
            del state[key]
        weight = bitsandbytes_for("weights of 4 bits").functional.dequantize_4bit(
            module.weight.data, module.weight.quant_state
        )
        state[stem] = weight.to(device="cpu", dtype=module.compute_dtype).contiguous()
    return state


def _in_four_bits(model: nn.Module) -> Iterator[tuple[str, Any]]:  # Any: a module of an untyped package
    for name, module in model.named_modules():
        if getattr(getattr(module, "weight", None), "quant_state", None) is not None and not hasattr(
            module, "base_layer"
        ):
            yield name, module
