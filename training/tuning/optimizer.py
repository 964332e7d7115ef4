"""The optimizer of a fine-tune: AdamW, its moments in 32 bits or in 8.

Moments in 8 bits (Dettmers et al. 2022: 8-bit Optimizers via Block-wise Quantization) take 2 bytes a trained parameter
in place of 8. The master weights stay in fp32 either way.
"""

import importlib.util
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from launch.errors import InputError
from training.config import LlmConfig
from training.tuning.layers import whole_shape

BETAS = (0.9, 0.95)
BITS = "bitsandbytes"
make_adam: Callable[..., torch.optim.Optimizer] = torch.optim.AdamW


def build_optimizer(model: nn.Module, config: LlmConfig) -> torch.optim.Optimizer:
    """Over what is trained of a model, which may be partitioned already; torch's fused form, seven times as fast on
    CPUs."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in trained if len(whole_shape(parameter)) > 1]
    vectors = [parameter for parameter in trained if len(whole_shape(parameter)) <= 1]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if config.optimizer == "adamw_8bit":
        made: torch.optim.Optimizer = _bits(f"llm.optimizer={config.optimizer}").optim.AdamW8bit(
            groups, lr=config.lr, betas=BETAS
        )
        return made
    return make_adam(groups, lr=config.lr, betas=BETAS, fused=True)


def check_optimizer(config: LlmConfig, *, offloaded: bool) -> None:
    """InputError where the optimizer that is asked for is not to be had."""
    if config.optimizer != "adamw_8bit":
        return
    if importlib.util.find_spec(BITS) is None:
        raise InputError(
            f"llm.optimizer=adamw_8bit needs the package {BITS}: pip install 'kinrec[bits]', or set llm.optimizer=adamw"
        )
    if offloaded:
        raise InputError(
            f"llm.optimizer=adamw_8bit and llm.deepspeed={config.deepspeed}, which offloads the optimizer: DeepSpeed "
            "steps on the CPU with its own; take llm.deepspeed=zero3 or llm.optimizer=adamw"
        )


def _bits(what: str) -> Any:  # Any: bitsandbytes is untyped
    """The module, imported here alone: it looks for GPUs' libraries when it is."""
    try:
        return importlib.import_module(BITS)
    except (ImportError, OSError, RuntimeError) as error:
        raise InputError(f"{what} needs the package {BITS}, which cannot be loaded here ({error})") from error
