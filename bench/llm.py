"""Generation: our array-wise beam search beside transformers' `generate`, same model and prompts, in the same run.

    python -m bench.llm [--prompts 16 --prompt_tokens 300 --beams 5 --hidden 256 --layers 6 --titles 20000] [--json]

Both must find the same best answer to every prompt; the last column is the speed over transformers'. The model's
weights are random, so free answers run to their full length.
"""

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from training.beam_search import Choices, FreeText, TitlesOnly, search_beams
from training.config import ScratchConfig
from training.scratch import build_model
from training.title_trie import TitleTrie, TrieOnDevice, build_trie

Answers = list[list[int]]
VOCAB, PAD, END = 4096, 0, 1
PROMPTS_AT_ONCE = 16


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("prompts", 16), ("prompt_tokens", 300), ("beams", 5), ("max_new_tokens", 40),
                          ("hidden", 256), ("layers", 6), ("titles", 20_000)):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    options = parser.parse_args(argv)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    size = ScratchConfig(hidden_size=options.hidden, num_layers=options.layers)
    model = build_model(
        size, vocab_size=VOCAB, eos=END, pad=PAD, max_tokens=2 * options.prompt_tokens, seed=1, dtype=torch.float32
    )
    model.train(False).to(device)
    rng = np.random.default_rng(1)
    trie = make_trie(options.titles, options.max_new_tokens, rng)
    lengths = rng.integers(options.prompt_tokens // 2, options.prompt_tokens + 1, size=options.prompts)
    prompts = [rng.integers(2, VOCAB, size=length).tolist() for length in lengths]

    ways: dict[str, dict[str, float]] = {}
    for mode, asked in (("free", None), ("constrained", trie)):
        expected, theirs = timed(partial(by_transformers, model, prompts, asked, options))
        found, ours = timed(partial(by_arrays, model, prompts, asked, options))
        assert found == expected, f"{mode}: the two find different answers"
        for name, seconds in ((f"{mode}, transformers", theirs), (f"{mode}, ours", ours)):
            ways[name] = {
                "seconds": seconds,
                "prompts_per_s": len(prompts) / seconds,
                "times_transformers": theirs / seconds,
            }

    print(f"{options.prompts} prompts of up to {options.prompt_tokens} tokens, {options.beams} beams, {options.titles} "
          f"titles, {options.layers} x {options.hidden}, {device}, {torch.get_num_threads()} thread(s)")  # fmt: skip
    print(f"{'':<28}{'seconds':>10}{'prompts/s':>12}{'x transformers':>16}")
    for name, row in ways.items():
        print(f"{name:<28}{row['seconds']:>10.2f}{row['prompts_per_s']:>12.2f}{row['times_transformers']:>16.2f}")
    if options.json:
        shape = {name: value for name, value in vars(options).items() if name != "json"}
        print(json.dumps({"bench": "llm", "device": str(device), **shape, "ways": ways}))


def make_trie(num_titles: int, max_tokens: int, rng: np.random.Generator) -> TitleTrie:
    """Titles of 4 to 30 tokens, their first ones frequent in many, as product titles are."""
    answers = [
        [*(2 + (rng.zipf(1.3, size=rng.integers(4, 31)) % (VOCAB - 2))).tolist(), END] for _ in range(num_titles)
    ]
    nothing = np.zeros(num_titles, dtype=np.int64)
    return build_trie(answers, domain=nothing, popularity=nothing, max_tokens=max_tokens)


def timed(run: Callable[[], Answers]) -> tuple[Answers, float]:
    """What `run` finds, and the seconds it takes."""
    started = time.perf_counter()
    found = run()
    return found, time.perf_counter() - started


def by_arrays(model: Any, prompts: Answers, trie: TitleTrie | None, options: argparse.Namespace) -> Answers:
    """The best answer to each prompt, by training.beam_search."""
    choices: Choices = FreeText([END], model.device)
    if trie is not None:
        choices = TitlesOnly(TrieOnDevice.of(trie, model.device))
    start = 0 if trie is None else trie.start_of(0)
    found: Answers = []
    for first in range(0, len(prompts), PROMPTS_AT_ONCE):
        batch = prompts[first : first + PROMPTS_AT_ONCE]
        beams = search_beams(
            model, batch, choices, start=[start] * len(batch), num_beams=options.beams,
            max_new_tokens=options.max_new_tokens, pad_token=PAD,
        )  # fmt: skip
        found += [answer.tokens[0] for answer in beams]
    return found


def by_transformers(model: Any, prompts: Answers, trie: TitleTrie | None, options: argparse.Namespace) -> Answers:
    """The best answer to each prompt, by transformers; titles through its `prefix_allowed_tokens_fn`."""
    found: Answers = []
    for first in range(0, len(prompts), PROMPTS_AT_ONCE):
        batch = prompts[first : first + PROMPTS_AT_ONCE]
        longest = max(map(len, batch))
        padded = torch.tensor([[PAD] * (longest - len(prompt)) + prompt for prompt in batch], device=model.device)
        written = model.generate(
            padded,
            attention_mask=torch.tensor(
                [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in batch], device=model.device
            ),
            num_beams=options.beams,
            max_new_tokens=options.max_new_tokens,
            length_penalty=0.0,
            early_stopping=False,
            do_sample=False,
            eos_token_id=END,
            pad_token_id=PAD,
            prefix_allowed_tokens_fn=None if trie is None else follow(trie, longest),
        )
        for answer in written[:, longest:].tolist():
            found.append(answer[: answer.index(END) + 1] if END in answer else answer)
    if trie is None:
        return found
    return [answer[: answer.index(PAD)] if PAD in answer else answer for answer in found]  # titles that were cut


def follow(trie: TitleTrie, prompt_length: int) -> Callable[[int, torch.Tensor], list[int]]:
    """What may follow a row, found by walking the trie."""

    def allowed(_: int, row: torch.Tensor) -> list[int]:
        node = trie.start_of(0)
        for token in row[prompt_length:].tolist():
            node = next((child for child in trie.children(node) if trie.token[child] == token), -1)
            if node < 0:
                return [PAD]
        return [int(trie.token[child]) for child in trie.children(node)] or [PAD]

    return allowed


if __name__ == "__main__":
    main()
