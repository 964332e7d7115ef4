"""How the decoder's layers are computed: which attention, compiled or not. The mathematics stays what it is."""

import importlib.util
import logging
import math
import os
import shutil
from typing import Any

import deepspeed
import torch
from peft import PeftModel
from torch import nn
from transformers import PreTrainedModel

from launch.errors import InputError, first_line
from training.config import AttentionChoice, LlmConfig, PrecisionChoice

log = logging.getLogger(__name__)
NAMES = {"eager": "eager", "sdpa": "sdpa", "flash": "flash_attention_2"}
"""What transformers calls them."""
SHAPES = 64
"""Times that a layer may be compiled anew for another kind of batch before it runs as it is."""


def choose_attention(choice: AttentionChoice, device: torch.device, precision: PrecisionChoice) -> AttentionChoice:
    """`choice`; auto: the fastest in training on `device` in that `precision`, which is resolved by now. InputError for
    flash where it cannot run.

    That is `eager` on CPUs in bf16 alone: there the backward pass of torch's fused attention is slow.
    """
    can_flash = device.type == "cuda" and importlib.util.find_spec("flash_attn") is not None
    if choice == "auto":
        return "flash" if can_flash else "eager" if device.type == "cpu" and precision == "bf16" else "sdpa"
    if choice == "flash" and not can_flash:
        raise InputError(
            "llm.attention=flash needs a GPU and the package flash_attn: install it there, or set llm.attention=auto"
        )
    return choice


def attention_for(config: LlmConfig, device: torch.device) -> AttentionChoice:
    """What the recipe asks for. Lists of candidates and twins have masks of their own: nothing for flash attention.

    InputError where the recipe wants both.
    """
    if config.task == "write" and config.judge == "loss" and not config.twins:
        return config.attention
    if config.attention == "flash":
        lists = f"llm.task={config.task}" if config.task != "write" else "llm.judge=auc"
        what = "twins" if config.twins else f"the lists of candidates of {lists}"
        raise InputError(f"llm.attention=flash cannot read {what}; set llm.attention=auto")
    return "sdpa" if config.attention == "auto" and device.type == "cuda" else config.attention


def set_attention(
    model: PreTrainedModel, choice: AttentionChoice, device: torch.device, precision: PrecisionChoice
) -> AttentionChoice:
    """Make `model` compute attention as `choice` says; returns what that is. InputError where the model has none
    such; `auto` leaves it then as it is."""
    chosen = choose_attention(choice, device, precision)
    try:
        model.set_attn_implementation(NAMES[chosen])
    except (ValueError, ImportError) as error:
        if choice != "auto":
            raise InputError(f"llm.attention={choice}: {first_line(error)}; set llm.attention=auto") from error
        log.warning("attention %s is not to be had (%s): the model's own is used", chosen, first_line(error))
        return "auto"
    return chosen


def use_liger(model: PreTrainedModel, device: torch.device) -> None:
    """Let liger_kernel compute what is inside of the layers; the loss stays ours (training.tuning.head). InputError
    without a GPU or the package, or for an architecture that it does not know."""
    wish = "llm.liger=true needs a GPU and the package liger_kernel"
    if device.type != "cuda":
        raise InputError(f"{wish}; this is {device.type}: set llm.liger=false")
    try:
        kernels: Any = importlib.import_module("liger_kernel.transformers.monkey_patch")  # Any: untyped
    except ImportError as error:
        raise InputError(f"{wish}: pip install liger-kernel, or set llm.liger=false ({first_line(error)})") from error
    kind = model.config.model_type
    if kind not in kernels.MODEL_TYPE_TO_APPLY_LIGER_FN:
        raise InputError(f"llm.liger=true: liger_kernel does not know the architecture {kind}; set llm.liger=false")
    kernels._apply_liger_kernel_to_instance(model=model, fused_linear_cross_entropy=False, cross_entropy=False)


def decoder_layers(model: nn.Module) -> list[nn.Module]:
    """The layers of a decoder, in order; none where it does not hold them in one list."""
    plain = plain_model(model)
    layers = None if plain is None else getattr(plain.base_model, "layers", None)
    return list(layers) if isinstance(layers, nn.ModuleList) else []


def plain_model(model: nn.Module) -> PreTrainedModel | None:
    """The transformers model that adapters are put on, or that `model` is itself."""
    plain = model.get_base_model() if isinstance(model, PeftModel) else model
    return plain if isinstance(plain, PreTrainedModel) else None


def head_of(model: nn.Module) -> nn.Linear | None:
    """What gives the words' scores, where that is a linear layer."""
    plain = plain_model(model)
    head = None if plain is None else plain.get_output_embeddings()  # type: ignore[no-untyped-call]  # transformers'
    return head if isinstance(head, nn.Linear) else None


def whole_shape(parameter: nn.Parameter) -> tuple[int, ...]:
    """The shape of a parameter, partitioned or not."""
    packed = getattr(parameter, "quant_state", None)  # of weights in 4 bits
    return tuple(getattr(parameter, "ds_shape", parameter.shape) if packed is None else packed.shape)  # ds_: ZeRO-3's


def whole_size(parameter: nn.Parameter) -> int:
    """Numbers in a parameter, partitioned or not."""
    return math.prod(whole_shape(parameter))


def gather_whole_layers(model: nn.Module) -> None:
    """Let ZeRO-3 gather a layer in one piece, before it and not inside. Call before DeepSpeed gets the model.

    Its hooks on what is inside of a layer would break a compiled one into as many pieces.
    """
    kinds = {type(layer) for layer in decoder_layers(model)}
    if kinds:
        deepspeed.utils.set_z3_leaf_modules(model, list(kinds))


def compile_layers(model: nn.Module) -> int:
    """Compile every layer's forward pass, for batches of any shape; returns how many. Call after DeepSpeed got the
    model, so that its hooks stay outside."""
    layers: list[Any] = list(decoder_layers(model))  # Any: a module's method is replaced
    if not layers:
        log.warning("llm.compile: this model does not hold its layers in one list; nothing is compiled")
        return 0
    compiler = os.environ.get("CXX", "g++")  # as torch finds it
    if next(model.parameters()).device.type == "cpu" and shutil.which(compiler) is None:
        log.warning("llm.compile: no %s here; nothing is compiled", compiler)
        return 0
    torch._dynamo.config.recompile_limit = max(SHAPES, torch._dynamo.config.recompile_limit)
    for layer in layers:
        layer.forward = torch.compile(layer.forward, dynamic=True)
    return len(layers)
