"""Whether a base model is what its files say: all weights there, with values, in a model that writes text."""

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from launch.distributed import World
from launch.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SHOWN = 3
LoadingInfo = dict[str, Any]  # Any: sets of names and of names with shapes, as transformers hands them back


def check_loaded(loading: LoadingInfo, model: nn.Module, *, where: str) -> None:
    """InputError where weights were left random for want of a value, or have no place in the model."""
    missing = sorted(loading["missing_keys"])
    if missing:
        raise InputError(
            f"{where}: its weights lack {len(missing)} of {len(model.state_dict())}, which would start from random "
            f"numbers: {_some(missing)}; download the folder again, or give one of which config.json fits the weights"
        )
    unexpected = sorted(loading["unexpected_keys"])
    if unexpected:
        raise InputError(
            f"{where}: holds weights that its config.json has no place for: {_some(unexpected)}; give a folder of "
            "which config.json fits the weights"
        )


def check_finite(model: nn.Module, *, where: str, world: World | None = None) -> None:
    """InputError where a weight is NaN or infinite; of a partitioned model, in any rank's part. With `world`, call on
    all ranks: they refuse together."""
    name = next((name for name, parameter in model.named_parameters() if not _is_finite(parameter)), None)
    names = [name] if world is None else world.gather_objects(name)
    broken = next((name for name in names if name is not None), None)
    if broken is not None:
        raise InputError(f"{where}: {broken} holds values that are not finite; download the model again")


def _is_finite(parameter: nn.Parameter) -> bool:
    held = getattr(parameter, "ds_tensor", parameter)  # ds_tensor: what ZeRO-3 left on this rank
    return bool(torch.isfinite(held.detach()).all())


def check_vocabulary(tokenizer: PreTrainedTokenizerBase, model: "PreTrainedModel", *, where: str) -> None:
    """InputError where the tokenizer has tokens that the model has no embedding for."""
    weight = model.get_input_embeddings().weight
    assert isinstance(weight, torch.Tensor)
    shape: tuple[int, ...] = getattr(weight, "ds_shape", weight.shape)  # ds_shape: ZeRO-3 has partitioned it
    rows = shape[0]
    tokens = max(tokenizer.get_vocab().values()) + 1
    if tokens > rows:
        raise InputError(
            f"{where}: its tokenizer has {tokens} tokens, its embedding {rows} rows; give the tokenizer "
            "that belongs to the model"
        )


def _some(names: list[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
