"""The array-wise beam search does what the slow, obvious ones do."""

from typing import Any

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from training.beam_search import Beams, FreeText, TitlesOnly, search_beams
from training.title_trie import TitleTrie, TrieOnDevice, build_trie

VOCAB, END, PAD = 60, 1, 0
CPU = torch.device("cpu")
GENERATOR = np.random.default_rng(3)
TITLES = [[*GENERATOR.integers(2, 20, size=GENERATOR.integers(1, 6)).tolist(), END] for _ in range(120)]
DOMAINS = np.array([0] * 60 + [1] * 60)
PROMPTS = [GENERATOR.integers(2, VOCAB, size=length).tolist() for length in (3, 17, 9, 1, 30)]


def tiny_llama(**changes: Any) -> Any:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "vocab_size": VOCAB, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.4,
        "bos_token_id": None, "eos_token_id": END, "pad_token_id": PAD,
    }  # fmt: skip
    return LlamaForCausalLM(LlamaConfig(**{**sizes, **changes})).train(False)


def titles_trie(max_tokens: int = 99) -> TitleTrie:
    return build_trie(TITLES, domain=DOMAINS, popularity=np.zeros(len(TITLES), dtype=np.int64), max_tokens=max_tokens)


def fast(prompts: list[list[int]], *, trie: TitleTrie | None = None, domain: int = 0, **options: Any) -> list[Beams]:
    choices = FreeText([END], CPU) if trie is None else TitlesOnly(TrieOnDevice.of(trie, CPU))
    start = 0 if trie is None else trie.start_of(domain)
    settings = {"num_beams": 4, "max_new_tokens": 8, "pad_token": PAD, **options}
    return search_beams(tiny_llama(), prompts, choices, start=[start] * len(prompts), **settings)


def slow(prompt: list[int], *, trie: TitleTrie | None = None, domain: int = 0, **options: Any) -> Beams:
    """One prompt at a time through transformers' own beam search."""

    def allowed(_: int, sequence: torch.Tensor) -> list[int]:
        assert trie is not None
        node = trie.start_of(domain)
        for token in sequence[len(prompt) :].tolist():
            if token in (END, PAD):
                return [PAD]
            node = next(child for child in trie.children(node) if trie.token[child] == token)
        return [int(trie.token[child]) for child in trie.children(node)]

    settings = {"num_beams": 4, "max_new_tokens": 8, "length_penalty": 0.0, **options}
    model = tiny_llama()
    out = model.generate(
        torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long), do_sample=False,
        num_return_sequences=settings["num_beams"], return_dict_in_generate=True, output_scores=True,
        early_stopping=False, prefix_allowed_tokens_fn=None if trie is None else allowed, **settings,
    )  # fmt: skip
    tokens = []
    for sequence in out.sequences[:, len(prompt) :].tolist():
        tokens.append(sequence[: sequence.index(END) + 1] if END in sequence else sequence)
    return Beams(tokens=tokens, scores=out.sequences_scores.tolist(), leaves=[])


@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_free_beams_are_those_of_transformers(length_penalty: float) -> None:
    found = fast(PROMPTS, length_penalty=length_penalty)
    for beams, prompt in zip(found, PROMPTS, strict=True):
        expected = slow(prompt, length_penalty=length_penalty)
        assert beams.tokens == expected.tokens
        assert beams.scores == pytest.approx(expected.scores, abs=1e-4)


@pytest.mark.parametrize("domain", [0, 1])
@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_constrained_beams_are_those_of_transformers(domain: int, length_penalty: float) -> None:
    trie = titles_trie()
    found = fast(PROMPTS, trie=trie, domain=domain, length_penalty=length_penalty)
    for beams, prompt in zip(found, PROMPTS, strict=True):
        expected = slow(prompt, trie=trie, domain=domain, length_penalty=length_penalty)
        assert beams.tokens == expected.tokens
        assert beams.scores == pytest.approx(expected.scores, abs=1e-4)
