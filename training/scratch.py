"""The `scratch` base: a byte-level BPE tokenizer trained on the titles and a small Llama, both deterministic."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from training.config import ScratchConfig

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

END = "<|end|>"
PAD = "<|pad|>"


def train_tokenizer(titles: Sequence[str], *, vocab_size: int, frame: Iterable[str] = ()) -> PreTrainedTokenizerBase:
    """Byte-level BPE learned from the titles and from `frame`, the fixed texts that every prompt repeats."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[PAD, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_corpus(titles, list(frame)), trainer)
    wrapped = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # transformers leaves it untyped
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
    assert isinstance(wrapped, PreTrainedTokenizerBase)
    return wrapped


def build_model(
    config: ScratchConfig, *, vocab_size: int, eos: int, pad: int, max_tokens: int, seed: int, dtype: torch.dtype
) -> "LlamaForCausalLM":
    """A small Llama with random weights: the same on every rank for the same seed."""
    from transformers import LlamaConfig, LlamaForCausalLM  # here: who trains a tokenizer does not wait for it

    inner = config.intermediate_size or -(-config.hidden_size * 8 // 3 // 64) * 64
    llama = LlamaConfig(
        vocab_size=-(-vocab_size // 64) * 64,
        hidden_size=config.hidden_size,
        intermediate_size=inner,
        num_hidden_layers=config.num_layers,
        num_attention_heads=config.num_heads,
        num_key_value_heads=config.num_heads,
        max_position_embeddings=2 * max_tokens,
        tie_word_embeddings=config.tie_embeddings,
        bos_token_id=None,
        eos_token_id=eos,
        pad_token_id=pad,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(llama)
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)
    return model


def _corpus(titles: Sequence[str], frame: list[str]) -> Iterator[str]:
    # The frame as often as a title in ten, so that its words become single tokens.
    for place, title in enumerate(titles):
        yield title
        if place % 10 == 0:
            yield from frame
