"""Ranking by the language model: one forward pass over a prompt and all candidates, against a pass for each candidate.

python -m bench.ranking [--base scratch|smollm2|FOLDER] [--json]
"""

import argparse
import json
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from transformers import PreTrainedModel

from pairs.tables import Ints
from training.base_files import find_base
from training.base_model import load_model
from training.config import ScratchConfig
from training.ranking.candidates import CandidateLists
from training.ranking.packing import pack
from training.ranking.scores import VerdictTokens, candidate_scores
from training.ranking.titles import Titles
from training.scratch import build_model

VERDICT = VerdictTokens(yes=7, no=9)
PAD, VOCABULARY = 0, 2048
TRIES = 3


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="bench.ranking", allow_abbrev=False)
    parser.add_argument("--base", default="scratch")
    parser.add_argument("--lists", type=int, default=4)
    parser.add_argument("--prompt_tokens", type=int, default=256)
    parser.add_argument("--candidates", type=int, default=50)
    parser.add_argument("--title_tokens", type=int, default=12)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(argv)
    results = measure(
        make_model(asked.base), lists=asked.lists, prompt_tokens=asked.prompt_tokens, candidates=asked.candidates,
        title_tokens=asked.title_tokens,
    )  # fmt: skip
    if asked.json:
        sys.stdout.write(json.dumps(results) + "\n")
        return
    for name, value in results.items():
        sys.stdout.write(f"{name:<28}{value:>12.4g}\n")


def make_model(base: str) -> PreTrainedModel:
    """The recipes' small Llama, or a model on the disk, in fp32."""
    if base == "scratch":
        model: PreTrainedModel = build_model(
            ScratchConfig(), vocab_size=VOCABULARY, eos=1, pad=PAD, max_tokens=4096, seed=1, dtype=torch.float32
        )
    else:
        model = load_model(find_base(base), dtype=torch.float32)
    model.train(False)
    return model


@torch.no_grad()
def measure(
    model: PreTrainedModel, *, lists: int, prompt_tokens: int, candidates: int, title_tokens: int
) -> dict[str, float]:
    """Seconds a list both ways, side by side, their ratio, and how far the scores are apart at most."""
    random = np.random.default_rng(1)
    items = lists * candidates
    titles = Titles(
        random.integers(2, VOCABULARY, size=items * title_tokens).astype(np.int32),
        np.arange(items + 1, dtype=np.int64) * title_tokens,
        empty=(np.array([2], dtype=np.int32), np.array([3], dtype=np.int32)),
    )
    prompts = random.integers(2, VOCABULARY, size=(lists, prompt_tokens))
    asked = CandidateLists(np.arange(items), np.arange(lists + 1) * candidates)

    def packed() -> torch.Tensor:
        return candidate_scores(model, pack(prompts.tolist(), asked, titles, pad=PAD), VERDICT)

    def one_by_one() -> torch.Tensor:
        rows = [range(candidates * row, candidates * (row + 1)) for row in range(lists)]
        scores = [_alone(model, prompts[row], titles, item) for row, of_row in enumerate(rows) for item in of_row]
        return torch.stack(scores).reshape(lists, candidates)

    (fast, fast_seconds), (slow, slow_seconds) = _timed(packed), _timed(one_by_one)
    return {
        "packed_seconds_a_list": fast_seconds / lists,
        "alone_seconds_a_list": slow_seconds / lists,
        "rank_speedup": slow_seconds / fast_seconds,
        "rank_score_difference": float((fast - slow).abs().max()),
    }


def _alone(model: PreTrainedModel, prompt: Ints, titles: Titles, item: int) -> torch.Tensor:
    """One candidate by a forward pass of its own."""
    title = titles.tokens[titles.offsets[item] : titles.offsets[item + 1]]
    ids = torch.from_numpy(np.concatenate([prompt, title]))[None]
    logits = model(input_ids=ids, logits_to_keep=1, use_cache=False).logits[0, 0]
    difference: torch.Tensor = logits[VERDICT.yes] - logits[VERDICT.no]
    return difference


def _timed(run: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, float]:
    """What it gives, and the least seconds of a few runs."""
    best, given = float("inf"), run()
    for _ in range(TRIES):
        began = time.perf_counter()
        given = run()
        best = min(best, time.perf_counter() - began)
    return given, best


if __name__ == "__main__":
    main()
