"""Attributes by a causal language model in this process: greedy, in batches of prompts of about one length.

Weights come from safetensors only and the model's own code is never run. Import it where a model is used only: torch
and transformers take seconds to load.
"""

import json
import logging
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jinja2 import TemplateError
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, PreTrainedTokenizerBase
from transformers.utils.logging import disable_progress_bar

from launch.bounded import TEMPLATE_SECONDS, Unbounded, bounded_text
from launch.distributed import init_world
from launch.errors import InputError, first_line
from launch.model_files import check_model_folder
from pairs.attributes.source import NoAnswer, Prompt
from pairs.attributes_config import LlmAttributesConfig

WINDOW = 64
"""Batches of which the prompts are sorted by length together."""
PADDING = 0
"""Any token will do where none is seen, but a tokenizer's own may lie beyond the model's vocabulary."""
HUB_FILES = ["*.json", "*.safetensors", "*.jinja", "*.txt", "tokenizer.model"]
"""What is fetched of a model on the hub: no code and no pickles."""
KEY = "pair.llm_attributes"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LocalModel:
    """A model with its tokenizer."""

    name: str
    model: Any  # Any: a transformers causal LM; its call is not typed
    tokenizer: PreTrainedTokenizerBase
    batch_size: int
    max_tokens: int

    def answer(self, prompts: Sequence[Prompt]) -> Generator[tuple[str, str | NoAnswer], None, None]:
        """As `AttributeSource` has it; the longest prompts of a window first, so that what does not fit shows early."""
        window = WINDOW * self.batch_size
        for begin in range(0, len(prompts), window):
            asked = [(prompt.title_hash, self._tokens(prompt.text)) for prompt in prompts[begin : begin + window]]
            asked.sort(key=lambda pair: len(pair[1]), reverse=True)
            for batch in _batches(asked, self.batch_size):
                texts = self._continue([tokens for _, tokens in batch])
                yield from zip((title_hash for title_hash, _ in batch), texts, strict=True)

    def _tokens(self, text: str) -> list[int]:
        if self.tokenizer.chat_template is None:
            tokens: list[int] = self.tokenizer(text)["input_ids"]
        else:
            try:
                chat = _in_template(self.tokenizer, text)
            except (TemplateError, TypeError, ValueError) as error:
                raise InputError(f"{self.name}: its chat template fails ({first_line(error)}); mend it") from error
            tokens = self.tokenizer(chat, add_special_tokens=False)["input_ids"]
        positions = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        if positions is not None and len(tokens) + self.max_tokens > positions:
            raise InputError(
                f"{self.name}: a prompt of {len(tokens)} tokens and {KEY}.max_tokens={self.max_tokens} exceed the "
                f"model's {positions} positions; lower max_tokens or pair.max_title_chars"
            )
        return tokens

    def _continue(self, prompts: list[list[int]]) -> list[str]:
        settings = self.model.generation_config
        width = max(map(len, prompts))
        # Padding stands on the left: what a prompt is continued with must follow its last token.
        padded = [[PADDING] * (width - len(tokens)) + tokens for tokens in prompts]
        seen = [[0] * (width - len(tokens)) + [1] * len(tokens) for tokens in prompts]
        device = self.model.device
        try:
            written = self.model.generate(
                input_ids=torch.tensor(padded, device=device), attention_mask=torch.tensor(seen, device=device)
            )
        except torch.OutOfMemoryError as error:
            raise InputError(
                f"{self.name}: {len(prompts)} prompts of up to {width} tokens do not fit on {device}; lower "
                f"{KEY}.batch_size={self.batch_size}: what was answered is kept"
            ) from error
        return [self._text(row, settings.eos_token_id or []) for row in written[:, width:].tolist()]

    def _text(self, tokens: list[int], ends: list[int]) -> str:
        length = next((place for place, token in enumerate(tokens) if token in ends), len(tokens))
        text = self.tokenizer.decode(tokens[:length], skip_special_tokens=True, clean_up_tokenization_spaces=False)
        assert isinstance(text, str)
        return text if self.tokenizer.chat_template else _up_to_first_list(text)


def open_local_model(config: LlmAttributesConfig) -> LocalModel:
    """The model that `pair.llm_attributes.model` names, on its device; InputError in one line where it cannot be."""
    assert config.model is not None
    model, tokenizer = _load(find_model(config.model), config.model)
    _check_template(tokenizer, config.model)
    ends = _as_list(model.generation_config.eos_token_id) + _as_list(tokenizer.eos_token_id)
    # In place of the model's own settings, which may sample or weigh repetitions, padding included.
    settings: Any = GenerationConfig(  # type: ignore[no-untyped-call]  # transformers leaves it untyped
        max_new_tokens=config.max_tokens,
        do_sample=False,
        eos_token_id=ends or None,
        pad_token_id=PADDING,
    )
    model.generation_config = settings
    device = _device(config.device)
    try:
        model.to(device)
    except (RuntimeError, AssertionError) as error:  # no such device, or too little memory on it
        raise InputError(f"{KEY}.device={config.device}: cannot hold the model ({first_line(error)})") from error
    model.train(False)
    dtype = str(model.dtype).removeprefix("torch.")
    form = "plain prompts" if tokenizer.chat_template is None else "prompts in its chat template"
    log.info("%s: %s on %s, %s", config.model, dtype, device, form)
    return LocalModel(config.model, model, tokenizer, config.batch_size, config.max_tokens)


def find_model(name: str) -> Path:
    """The folder of a model, checked: a local one, or that of ORG/NAME in the hub's cache."""
    folder = Path(name).expanduser()
    if not folder.exists():
        folder = _find_in_cache(name)
    check_model_folder(folder, where=f"{KEY}.model={name}")
    return folder


def _load(folder: Path, name: str) -> tuple[Any, PreTrainedTokenizerBase]:  # Any: a model, as above
    disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers leaves it untyped
    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}  # Any: passed on
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **options)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype="auto", use_safetensors=True, output_loading_info=True, **options
        )
    except (ImportError, OSError, ValueError, LookupError, TypeError, RuntimeError, SafetensorError) as error:
        raise InputError(
            f"{KEY}.model={name}: cannot load a causal language model and its tokenizer ({first_line(error)}); "
            "give another folder"
        ) from error
    model, info = loaded
    if info["missing_keys"]:
        raise InputError(f"{KEY}.model={name}: its weights lack {min(info['missing_keys'])}; download it again")
    return model, tokenizer


def _check_template(tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    """InputError for a chat template that does not come to an end: it is a stranger's program."""
    if tokenizer.chat_template is None:
        return
    try:
        bounded_text(lambda: _in_template(tokenizer, "title"), seconds=TEMPLATE_SECONDS)
    except Unbounded as error:
        raise InputError(f"{KEY}.model={name}: its chat template {error}; mend it or take it out") from error
    except ValueError as error:
        raise InputError(f"{name}: its chat template fails ({first_line(error)}); mend it") from error


def _in_template(tokenizer: PreTrainedTokenizerBase, text: str) -> str:
    """A user's message in the tokenizer's chat template, up to where the answer begins."""
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": text}],
        tokenize=False,
        add_generation_prompt=True,
        enable_thinking=False,  # a model that can think aloud would fill its answer with that
    )
    assert isinstance(chat, str)
    return chat


def _find_in_cache(name: str) -> Path:
    where = f"{KEY}.model={name}"
    if name.count("/") != 1 or name.startswith(("/", ".", "~")) or name.endswith("/"):
        raise InputError(f"{where}: no such folder; give that of a transformers model")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=HUB_FILES, local_files_only=True))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{where}: no such folder, and not in the hub's cache; nothing is downloaded here: download the model's "
            "folder yourself and give its path"
        ) from error


def _device(name: str) -> torch.device:
    if name == "auto":
        with init_world() as world:
            return world.device
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise InputError(f"{KEY}.device={name}: no such device; give auto, cpu or cuda") from error


def _up_to_first_list(text: str) -> str:
    # A model that was never taught to chat does not stop at its answer: it goes on with the next product.
    try:
        _, end = json.JSONDecoder().raw_decode(text, text.find("["))
    except (ValueError, RecursionError):
        return text
    return text[:end]


def _batches(asked: list[tuple[str, list[int]]], size: int) -> Iterator[list[tuple[str, list[int]]]]:
    for begin in range(0, len(asked), size):
        yield asked[begin : begin + size]


def _as_list(tokens: int | list[int] | None) -> list[int]:
    return [] if tokens is None else [tokens] if isinstance(tokens, int) else list(tokens)
