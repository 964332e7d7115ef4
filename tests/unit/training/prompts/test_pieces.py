"""Prompts: within their budget, most recent items first, as their whole text would be tokenised."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from transformers import PreTrainedTokenizerBase

from launch.errors import InputError
from pairs.tables import load_pair
from tests.tiny_prompts import NAMES, write_tokenized_run
from training.base_model import load_tokenizer_folder
from training.prompts.assembly import Budget, Prompts, Wanted, assemble
from training.prompts.config import PromptOrder
from training.prompts.groups import NOBODY
from training.prompts.kindred import distinct_users
from training.prompts.pieces import (
    NEIGHBOUR,
    Ints,
    Pieces,
    answer_tokens,
    build_pieces,
    clean_title,
    line_texts,
    make_frame,
)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    write_tokenized_run(folder)
    return folder


@pytest.fixture(scope="module")
def tokenizer(run_dir: Path) -> PreTrainedTokenizerBase:
    return load_tokenizer_folder(run_dir / "prompts" / "tokenizer")


@pytest.fixture(scope="module")
def pieces(run_dir: Path, tokenizer: PreTrainedTokenizerBase) -> Pieces:
    items = load_pair(run_dir).items
    return build_pieces(
        tokenizer, titles=items.titles, domains=items.domain.tolist(), domain_names=NAMES, max_item_tokens=16
    )


def ids(*values: int) -> Ints:
    return np.array(values, dtype=np.int64)


def wanted(pieces: Pieces, *, own: list[int], neighbours: list[list[int]], target: int | None = 11) -> Wanted:
    none = pieces.num_items
    width = max((len(items) for items in neighbours), default=0)
    padded = [[none] * (width - len(items)) + items for items in neighbours]
    shown = np.array([padded], dtype=np.int64).reshape(1, len(neighbours), width)
    bits = np.int64(1) << np.arange(len(neighbours), dtype=np.int64)
    return Wanted(
        sample=ids(7),
        domain=ids(1),
        own=np.array([own], dtype=np.int64),
        neighbours=shown,
        headers=np.full((1, len(neighbours)), NEIGHBOUR),
        buyers=np.where(shown == none, 0, bits[None, :, None]),
        target=None if target is None else ids(target),
        watched=ids(-1),
    )


def slow_prompt(pieces: Pieces, want: Wanted, max_tokens: int, reserve: int) -> tuple[list[int], list[int]]:
    """The obvious form of `assemble` for one sample with an answer that counts: (prompt, answer)."""
    domain = int(want.domain[0])
    none = pieces.num_items

    def line(item: int) -> list[int]:
        return list(pieces.piece(pieces.line + item))

    assert want.target is not None
    answer = list(pieces.piece(pieces.answer + int(want.target[0])))
    opening, own_header, request = (list(pieces.piece(p)) for p in (domain, 3, 4 + domain))
    header = list(pieces.piece(2))
    room = max_tokens - max(reserve, len(answer)) - len(opening) - len(own_header) - len(request)
    own: list[int] = []
    users: list[list[int]] = [[] for _ in want.neighbours[0]]
    full = False
    for item in reversed([int(i) for i in want.own[0] if i != none]):
        full = full or len(line(item)) > room
        if not full:
            own = line(item) + own
            room -= len(line(item))
    for place, items in enumerate(want.neighbours[0]):
        for item in reversed([int(i) for i in items if i != none]):
            cost = len(line(item)) + (0 if users[place] else len(header))
            full = full or cost > room
            if not full:
                users[place] = line(item) + users[place]
                room -= cost
    shown = [token for user in users if user for token in header + user]
    of_own = own_header + own
    return opening + (of_own + shown if pieces.order == "own_first" else shown + of_own) + request, answer


@pytest.mark.parametrize("order", ["kindred_first", "own_first"])
@pytest.mark.parametrize("max_tokens", [75, 90, 105, 120, 140, 200, 400])
def test_assembly_equals_the_slow_one(pieces: Pieces, max_tokens: int, order: PromptOrder) -> None:
    pieces = replace(pieces, order=order)  # the fixed pieces as they are: what counts is where they stand
    want = wanted(pieces, own=[20, 3, 14, 5], neighbours=[[1, 12, 8], [17]])
    prompts = assemble(pieces, want, Budget(max_tokens, answer_reserve=9, fit_answer=True))
    prompt, answer = slow_prompt(pieces, want, max_tokens, 9)
    assert prompts.tokens.tolist() == prompt + answer
    assert prompts.prompt_length.tolist() == [len(prompt)]
    assert len(prompts.tokens) <= max_tokens


def test_a_prompt_is_its_whole_text_tokenised(
    pieces: Pieces, tokenizer: PreTrainedTokenizerBase, run_dir: Path
) -> None:
    items = load_pair(run_dir).items
    want = wanted(pieces, own=[3, 14], neighbours=[[1, 12], [17, 2]])
    prompts = assemble(pieces, want, Budget(10_000, answer_reserve=9, fit_answer=True))
    frame = make_frame(tokenizer, NAMES)
    lines = line_texts(items.titles, items.domain.tolist(), NAMES)
    text = (
        frame.opening[1]
        + "".join([frame.neighbour, lines[1], lines[12], frame.neighbour, lines[17], lines[2]])
        + "".join([frame.own, lines[3], lines[14], frame.request[1], clean_title(items.titles[11])])
    )
    assert prompts.tokens.tolist() == [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]


def test_most_recent_items_are_kept_and_neighbours_go_first(pieces: Pieces) -> None:
    want = wanted(pieces, own=[0, 1, 2, 3, 4], neighbours=[[5, 6]])
    whole = assemble(pieces, want, Budget(10_000, answer_reserve=5, fit_answer=True))
    shown: list[tuple[int, int]] = []
    for cut in range(0, 60, 4):
        prompts = assemble(pieces, want, Budget(len(whole.tokens) - cut, answer_reserve=5, fit_answer=True))
        shown.append((int(prompts.own_shown[0]), int(prompts.neighbours_shown[0])))
        assert contains(prompts, pieces.piece(pieces.line + 4)), "the most recent item stays"
        if prompts.neighbours_shown[0]:
            assert prompts.own_shown[0] == 5, "neighbours are shown only when all own items are"
    assert shown[0] == (5, 1)
    assert shown[-1][1] == 0
    assert shown[-1][0] < 5


def contains(prompts: Prompts, part: "np.ndarray[tuple[int], np.dtype[np.int32]]") -> bool:
    return part.tobytes() in prompts.tokens.tobytes()


def test_a_prompt_does_not_depend_on_its_answer_at_generation(pieces: Pieces) -> None:
    longest = int(np.argmax(pieces.lengths[pieces.answer :]))
    budget = Budget(110, answer_reserve=4, fit_answer=False)
    with_answer = assemble(pieces, wanted(pieces, own=[0, 1, 2, 3], neighbours=[[5]], target=longest), budget)
    without = assemble(pieces, wanted(pieces, own=[0, 1, 2, 3], neighbours=[[5]], target=None), budget)
    assert with_answer.tokens[: with_answer.prompt_length[0]].tolist() == without.tokens.tolist()


def test_a_budget_without_room_for_one_item_is_refused(pieces: Pieces) -> None:
    want = wanted(pieces, own=[0, 1], neighbours=[])
    with pytest.raises(InputError, match=r"prompts.max_tokens=40 is too small: sample 7 needs \d+ tokens") as refused:
        assemble(pieces, want, Budget(40, answer_reserve=5, fit_answer=True))
    needed = int(str(refused.value).split("needs ")[1].split()[0])
    assert assemble(pieces, want, Budget(needed, answer_reserve=5, fit_answer=True)).own_shown.tolist() == [1]


def test_long_lines_are_cut_and_still_end_their_line(tokenizer: PreTrainedTokenizerBase) -> None:
    pieces = build_pieces(tokenizer, titles=["paper " * 50], domains=[0], domain_names=NAMES, max_item_tokens=10)
    line = tokenizer.decode(pieces.piece(pieces.line).tolist())
    assert len(pieces.piece(pieces.line)) == 10
    assert line[-1] == "\n"
    assert tokenizer.decode(pieces.piece(pieces.answer).tolist()[:-1]) == ("paper " * 50).strip()


def test_a_title_cannot_bring_special_tokens_in(tokenizer: PreTrainedTokenizerBase) -> None:
    end = tokenizer.eos_token
    (answer,) = answer_tokens(tokenizer, [f"paper {end} brush"])
    assert answer.count(tokenizer.eos_token_id) == 1
    assert answer[-1] == tokenizer.eos_token_id


def test_twins_of_a_neighbour_count_once() -> None:
    users = ids(10, 10, 11, 11, 12)
    rows = np.array([[0, 1, 2, 4], [3, 2, NOBODY, NOBODY]], dtype=np.int64)
    distinct = distinct_users(rows, users=users, own=ids(99, 98), limit=2)
    assert distinct.tolist() == [[0, 2], [3, NOBODY]]


def test_a_user_as_his_own_neighbour_is_a_fault() -> None:
    with pytest.raises(AssertionError, match="neighbour of himself"):
        distinct_users(np.array([[0]], dtype=np.int64), users=ids(10), own=ids(10), limit=1)


def test_a_chat_template_frames_the_message(tokenizer: PreTrainedTokenizerBase) -> None:
    chat = type(tokenizer)(tokenizer_object=tokenizer.backend_tokenizer, eos_token="<|end|>", pad_token="<|pad|>")
    chat.chat_template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</{{ m.role }}>{% endfor %}<assistant>"
    frame = make_frame(chat, NAMES)
    assert frame.opening[0].startswith("<user>Recommend a new Art item")
    assert frame.request[1] == "Recommend a new Office item.</user><assistant>"
    assert make_frame(tokenizer, NAMES).request[1].endswith("### Response:\n")
    assert (
        make_frame(chat, NAMES, system="Be brief.").opening[0].startswith("<system>Be brief.</system><user>Recommend")
    )


def test_a_templates_own_system_message_is_left_out(tokenizer: PreTrainedTokenizerBase) -> None:
    chat = type(tokenizer)(tokenizer_object=tokenizer.backend_tokenizer, eos_token="<|end|>", pad_token="<|pad|>")
    own = "{% if messages[0].role != 'system' %}<system>You are a helpful thing of many words.{% endif %}"
    chat.chat_template = own + "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"
    assert make_frame(chat, NAMES).opening[0].startswith("<system><user>Recommend a new Art item")
    refusing = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    chat.chat_template = refusing + "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"
    assert make_frame(chat, NAMES).opening[0].startswith("<user>Recommend a new Art item")
    with pytest.raises(InputError, match=r"its chat template fails \(.*no system role"):
        make_frame(chat, NAMES, system="Be brief.")
