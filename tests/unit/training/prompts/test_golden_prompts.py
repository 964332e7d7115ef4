"""Prompts, word for word: tests/golden/ holds what the model is shown, for base and for chat models.

A change of wording is meant or it is a fault: edit the golden file by hand, in the commit that changes the words.
"""

from pathlib import Path

import numpy as np
import pytest
from transformers import PreTrainedTokenizerBase

from pairs.tables import Samples
from training.prompts.assembly import Budget, assemble
from training.prompts.config import PromptOrder
from training.prompts.kindred import NeighbourRows, PromptSource
from training.prompts.pieces import build_pieces, clean_title, make_frame
from training.scratch import train_tokenizer

GOLDEN = Path(__file__).parents[3] / "golden"
TITLES = [
    "Sketch  Book, 9 x 12", "Oil Paint Set", "Sable\nBrush No. 4",  # domain X
    "Gel Pens (12)", "Desk Lamp", "Stapler", "Paper Clips",  # domain Y
]  # fmt: skip
DOMAINS = [0, 0, 0, 1, 1, 1, 1]
NAMES = ("Arts_Crafts", "Office Products")
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_samples(rows: list[tuple[int, int, list[int], int]]) -> Samples:
    """Rows are (sample, user, history, target)."""
    samples, users, histories, targets = zip(*rows, strict=True)
    return Samples(
        sample=np.array(samples),
        user=np.array(users),
        domain=np.array([DOMAINS[target] for target in targets]),
        target=np.array(targets),
        history=np.array([item for history in histories for item in history]),
        offsets=np.cumsum([0, *map(len, histories)]),
        history_time=None,
        target_time=None,
    )


# Users 5 and 6 taught; user 5 has twin samples. User 9 asks, once in each domain. Nearest first: 5, 5 again, 6.
TRAIN = make_samples([(0, 5, [0, 3, 6], 1), (1, 5, [0, 3, 6], 4), (2, 6, [2, 5], 3)])
ASKED = make_samples([(10, 9, [1, 4, 3, 2], 0), (11, 9, [1, 4, 3, 2], 6)])
KINDRED = NeighbourRows(rows=np.array([1, 0, 2, 0, 1, 2]), offsets=np.array([0, 3, 6]))


def tokenizer(*, chat: bool) -> PreTrainedTokenizerBase:
    frame = make_frame(None, NAMES).texts
    made = train_tokenizer([clean_title(title) for title in TITLES], vocab_size=400, frame=frame)
    if chat:
        made.chat_template = CHATML
    return made


def prompt_texts(tokenizer: PreTrainedTokenizerBase, order: PromptOrder) -> list[tuple[str, str]]:
    """(prompt, answer) of the asked samples: three own items and two of each of two kindred users."""
    pieces = build_pieces(
        tokenizer, titles=TITLES, domains=DOMAINS, domain_names=NAMES, max_item_tokens=64, order=order
    )
    source = PromptSource(
        samples=ASKED, known=TRAIN, neighbours=KINDRED, item_domain=np.array(DOMAINS),
        num_neighbours=2, max_history=3, form="histories", kindred_items=2, with_target=True,
    )  # fmt: skip
    prompts = assemble(pieces, source.wanted(np.arange(2)), Budget(10_000, answer_reserve=8, fit_answer=True))
    texts = []
    for row, length in enumerate(prompts.prompt_length.tolist()):
        tokens = prompts.tokens[prompts.offsets[row] : prompts.offsets[row + 1]].tolist()
        texts.append((str(tokenizer.decode(tokens[:length])), str(tokenizer.decode(tokens[length:]))))
    return texts


@pytest.mark.parametrize("form", ["base", "chat", "own_first"])
def test_prompts_are_those_of_the_golden_file(form: str) -> None:
    made = tokenizer(chat=form == "chat")
    texts = prompt_texts(made, "own_first" if form == "own_first" else "kindred_first")
    shown = "".join(f"{prompt}[ANSWER]{answer}[END OF SAMPLE]\n" for prompt, answer in texts)
    assert shown == (GOLDEN / f"prompt_{form}.txt").read_text(encoding="utf-8")
