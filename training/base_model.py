"""Base models: find a local causal language model, check it, load its tokenizer and weights.

A base is a folder with safetensors, a GGUF file, `smollm2` (a GGUF file inside an installed package) or `scratch`
(a small Llama, see training.scratch). Nothing is ever downloaded.
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GgufConfig, PreTrainedTokenizerBase
from transformers.utils.logging import disable_progress_bar

from launch.distributed import World
from launch.errors import InputError, first_line
from launch.model_files import check_model_folder
from training.base_checks import LoadingInfo, check_finite, check_loaded, check_vocabulary
from training.base_files import BaseModel
from training.config import Precision
from training.own_code import check_code
from training.precision import DTYPES

if TYPE_CHECKING:  # who needs but a tokenizer does not wait for all that models import
    from transformers import PreTrainedModel

log = logging.getLogger(__name__)

LOADING_ERRORS = (
    ImportError, OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, SafetensorError,
)  # fmt: skip
"""What transformers raises for files that are damaged, foreign, or in need of a library that is not there."""


def load_tokenizer(base: BaseModel) -> PreTrainedTokenizerBase:
    """The tokenizer of a base on disk; padding on the left, a pad token in any case."""
    assert base.kind != "scratch", "the scratch tokenizer is trained on titles, see training.scratch"
    folder, options = _where(base)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **options)
    except Exception as error:  # the tokenizers library raises nothing narrower for a damaged file
        raise InputError(f"{base.files}: no usable tokenizer ({first_line(error)})") from error
    if not isinstance(tokenizer, PreTrainedTokenizerBase) or not tokenizer.is_fast:
        raise InputError(f"{base.files}: the tokenizer has no tokenizer.json (a fast tokenizer is needed)")
    if tokenizer.eos_token_id is None:
        raise InputError(f"{base.files}: the tokenizer has no end-of-text token; set eos_token in its config")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"
    return tokenizer


def load_tokenizer_folder(folder: Path, *, base: BaseModel | None = None) -> PreTrainedTokenizerBase:
    """The tokenizer that a stage saved: prompts/tokenizer or llm/model. It runs code of `base` only, if allowed."""
    return load_tokenizer(BaseModel("folder", folder, trust_remote_code=_may_run_code(folder, base)))


def hidden_size_of(base: BaseModel) -> int:
    """The width of a base on disk, without reading its weights."""
    assert base.kind != "scratch"
    folder, options = _where(base)
    try:
        return int(AutoConfig.from_pretrained(folder, **options).get_text_config().hidden_size)
    except LOADING_ERRORS as error:
        raise InputError(f"{base.files}: not the configuration of a language model ({first_line(error)})") from error


def load_model(base: BaseModel, *, dtype: torch.dtype, world: World | None = None) -> "PreTrainedModel":
    """The weights of a base on disk, on the CPU (or partitioned at once where ZeRO-3's loading is active).

    With `world`, call on all ranks: they refuse together what one of them finds in its part.
    """
    assert base.kind != "scratch", "the scratch model is built, see training.scratch"
    options: dict[str, Any] = {}  # Any: options of several types, passed on
    if base.kind == "gguf":  # dense weights, not packed ones: they are going to be trained
        options["quantization_config"] = GgufConfig(dequantize=True)
    elif not base.allow_pickle:  # safetensors of other names would not keep it from pickles
        options["use_safetensors"] = True
    model, loading = _from_files(base, dtype=dtype, **options)
    check_loaded(loading, model, where=str(base.files))
    check_finite(model, where=str(base.files), world=world)
    if base.kind == "gguf":
        log.warning("%s: GGUF weights are quantised; training starts from their de-quantised values", base.files.name)
    return model


def check_weights(base: BaseModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """InputError unless the weights in a model's folder are those of its config.json; their values are not read."""
    if base.kind != "folder":  # a file's weights are read whole by every rank, and checked then
        return
    where = f"prompts.base={base.files}"
    options = {} if base.allow_pickle else {"use_safetensors": True}
    model, loading = _from_files(base, dtype=torch.float32, device_map="meta", **options)
    check_loaded(loading, model, where=where)
    check_vocabulary(tokenizer, model, where=where)


def load_tuned_model(
    folder: Path, *, precision: Precision, base: BaseModel | None = None, ranks: int = 1
) -> "PreTrainedModel":
    """The model that `finetune` wrote (llm/model), in eval mode, on the CPU. It runs code of `base` only, if allowed.

    Args:
        ranks: over how many each layer is cut (on all of them, which call together); more than 1: on their devices.
    """
    check_model_folder(folder, where=str(folder))
    tuned = BaseModel("folder", folder, _may_run_code(folder, base))
    model = load_model(tuned, dtype=DTYPES[precision]) if ranks == 1 else _load_slices(tuned, precision, ranks)
    model.train(False)
    return model


def _load_slices(tuned: BaseModel, precision: Precision, ranks: int) -> "PreTrainedModel":
    """This rank's slice of every layer, as transformers' plan of the architecture says. InputError without one, or
    where the heads cannot be shared out."""
    config = AutoConfig.from_pretrained(_where(tuned)[0], **_where(tuned)[1])
    if not getattr(config, "base_model_tp_plan", None):
        raise InputError(
            f"{tuned.files}: transformers has no plan to cut a {config.model_type} model over ranks; "
            "set generation.tensor_parallel=false"
        )
    heads = [config.num_attention_heads, getattr(config, "num_key_value_heads", None) or config.num_attention_heads]
    if any(count % ranks for count in heads):
        raise InputError(
            f"{tuned.files}: {heads[0]} heads of attention and {heads[1]} of keys cannot be shared out to {ranks} "
            "ranks; set generation.tensor_parallel=false or start as many ranks as divide both"
        )
    model, _ = _from_files(tuned, dtype=DTYPES[precision], use_safetensors=True, tp_plan="auto")
    return model


def _from_files(base: BaseModel, **how: Any) -> "tuple[PreTrainedModel, LoadingInfo]":  # Any: transformers' options
    """A model and what transformers says of its weights."""
    from transformers import PreTrainedModel

    folder, options = _where(base)
    disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers leaves it untyped
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder, output_loading_info=True, **options, **how
        )  # Any: a pair, unlike what its stub says
    except LOADING_ERRORS as error:
        raise InputError(f"{base.files}: cannot load a causal language model ({first_line(error)})") from error
    model, loading = loaded
    assert isinstance(model, PreTrainedModel)
    return model, loading


def _may_run_code(folder: Path, base: BaseModel | None) -> bool:
    """Whether code in a folder of the run may run: it is that of a base model whose code the user allowed."""
    if base is None or not base.trust_remote_code:
        return False
    check_code(folder, base.files)
    return True


def _where(base: BaseModel) -> tuple[str, dict[str, Any]]:  # Any: options of several types, passed on
    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": base.trust_remote_code}
    if base.kind == "gguf":
        return str(base.files.parent), {**options, "gguf_file": base.files.name}
    return str(base.files), options
