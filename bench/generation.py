"""Generation inside the title trie: KinRec's beam search against transformers' with `prefix_allowed_tokens_fn`.

python -m bench.generation [--base scratch|smollm2|FOLDER] [--json]
"""

import argparse
import json
import sys
import time
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedModel

from bench.ranking import make_model
from pairs.ragged import offsets_of
from training.answers.beam_search import search_beams
from training.answers.choices import TitlesOnly
from training.answers.title_trie import TitleTrie, TrieOnDevice, build_trie

PAD, END, VOCABULARY = 0, 1, 2048
DOMAIN = 0


@dataclass(frozen=True)
class Question:
    """What is generated."""

    prompts: list[list[int]]
    trie: TitleTrie
    num_beams: int
    max_new_tokens: int


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="bench.generation", allow_abbrev=False)
    parser.add_argument("--base", default="scratch")
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--prompt_tokens", type=int, default=128)
    parser.add_argument("--titles", type=int, default=5000)
    parser.add_argument("--beams", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(argv)
    question = make_question(asked.prompts, asked.prompt_tokens, titles=asked.titles, num_beams=asked.beams)
    results = measure(make_model(asked.base), question)
    if asked.json:
        sys.stdout.write(json.dumps(results) + "\n")
        return
    for name, value in results.items():
        sys.stdout.write(f"{name:<34}{value:>12.4g}\n")


def make_question(prompts: int, prompt_tokens: int, *, titles: int, num_beams: int) -> Question:
    """Random prompts of unequal lengths and random titles of 4 to 16 tokens, words of the front ones often shared."""
    random = np.random.default_rng(1)
    lengths = random.integers(prompt_tokens // 2, prompt_tokens + 1, size=prompts)
    texts = [random.integers(2, VOCABULARY, size=length).tolist() for length in lengths]
    written = {
        tuple((2 + random.zipf(1.3, size=int(length)) % (VOCABULARY - 2)).tolist())
        for length in random.integers(4, 17, size=titles)
    }
    answers = [[*title, END] for title in sorted(written)]
    count = len(answers)
    tokens, offsets = np.concatenate(answers).astype(np.int32), offsets_of([len(answer) for answer in answers])
    trie = build_trie(
        tokens, offsets, domain=np.zeros(count, dtype=np.int8), popularity=np.ones(count, dtype=np.int64), max_tokens=20
    )
    return Question(texts, trie, num_beams, max_new_tokens=18)


@torch.no_grad()
def measure(model: PreTrainedModel, question: Question) -> dict[str, float]:
    """Seconds of all prompts three ways, the ratios, and how far the best beams' scores are apart at most."""
    ours, our_seconds = _ours(model, question)
    batched, batched_seconds = _theirs(model, question, at_once=len(question.prompts))
    _, single_seconds = _theirs(model, question, at_once=1)
    return {
        "kinrec_seconds": our_seconds,
        "prefix_fn_seconds": batched_seconds,
        "single_seconds": single_seconds,
        "generate_speedup_prefix_fn": batched_seconds / our_seconds,
        "generate_speedup_single": single_seconds / our_seconds,
        "beam_score_difference": float(np.abs(np.array(ours) - np.array(batched)).max()),
    }


def _ours(model: PreTrainedModel, question: Question) -> tuple[list[float], float]:
    choices = TitlesOnly(TrieOnDevice.of(question.trie, torch.device("cpu")))
    start = [question.trie.start_of(DOMAIN)] * len(question.prompts)
    best: list[float] = []
    seconds = float("inf")
    for _ in range(2):  # the first warms up
        began = time.perf_counter()
        beams = search_beams(
            model, question.prompts, choices, start=start, num_beams=question.num_beams,
            max_new_tokens=question.max_new_tokens, pad_token=PAD, length_penalty=0.0,
        )  # fmt: skip
        seconds = min(seconds, time.perf_counter() - began)
        best = [one.scores[0] for one in beams]
    return best, seconds


def _theirs(model: PreTrainedModel, question: Question, *, at_once: int) -> tuple[list[float], float]:
    """transformers' beam search, `at_once` prompts in a batch, padded on the left."""
    best: list[float] = []
    began = time.perf_counter()
    for start in range(0, len(question.prompts), at_once):
        prompts = question.prompts[start : start + at_once]
        T = max(map(len, prompts))
        ids = torch.tensor([[PAD] * (T - len(prompt)) + prompt for prompt in prompts])
        mask = torch.tensor([[0] * (T - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        written = model.generate(  # type: ignore[operator]  # its stub says a module
            ids, attention_mask=mask, do_sample=False, num_beams=question.num_beams, early_stopping=False,
            max_new_tokens=question.max_new_tokens, length_penalty=0.0, return_dict_in_generate=True,
            output_scores=True, prefix_allowed_tokens_fn=_Allowed(question.trie, T),
        )  # fmt: skip
        best += written.sequences_scores.tolist()
    return best, time.perf_counter() - began


class _Allowed:
    """The tokens that may follow, by a walk from the root: a dictionary keeps the nodes of what was seen."""

    def __init__(self, trie: TitleTrie, prompt_tokens: int) -> None:
        self._trie, self._prompt = trie, prompt_tokens
        self._node: dict[tuple[int, ...], int] = {(): trie.start_of(DOMAIN)}

    def __call__(self, _: int, sequence: torch.Tensor) -> list[int]:
        written = tuple(sequence[self._prompt :].tolist())
        if written and written[-1] in (END, PAD):
            return [PAD]
        if written not in self._node:
            children = self._trie.children(self._node[written[:-1]])
            self._node[written] = next(child for child in children if self._trie.token[child] == written[-1])
        return [int(self._trie.token[child]) for child in self._trie.children(self._node[written])]


if __name__ == "__main__":
    main()
