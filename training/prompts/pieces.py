"""The texts of prompts, tokenised once: the frame, a line for each item, an answer for each item.

A prompt is *defined* as the concatenation of these pieces' tokens, at training and at generation alike:

    opening, {header, lines} per kindred user or number of votes, own header, own lines, request [, answer]

or, with `own_first`, what the user bought stands before the rest, and the opening does not tell what is asked for.

Chat models get their chat template around it, others the Alpaca form.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedTokenizerBase

from launch.bounded import TEMPLATE_SECONDS, Unbounded, bounded_text
from launch.errors import InputError
from pairs.ragged import offsets_of
from training.prompts.config import PromptOrder

Ints = npt.NDArray[np.int64]
Tokens = npt.NDArray[np.int32]

MESSAGE_MARK = "\x00message\x00"
# The fixed pieces come first in `Pieces`; the lines and the answers of all items follow.
MOST_VOTES = 10
"""Votes that have a header of their own; the last is for this many or more."""
OPENING, NEIGHBOUR, OWN, REQUEST, VOTES, NUM_FIXED = 0, 2, 3, 4, 6, 6 + MOST_VOTES
"""Piece ids; `OPENING + domain` and `REQUEST + domain` depend on the asked domain, `VOTES + n - 1` on the votes n."""


@dataclass(frozen=True)
class Frame:
    """The fixed texts of a prompt, as far as possible whole lines."""

    opening: tuple[str, str]
    """What starts a prompt that asks for domain X, Y."""
    neighbour: str
    own: str
    request: tuple[str, str]
    """What ends it: the answer follows."""
    votes: tuple[str, ...]
    """What stands above the items that 1, 2, ... kindred users bought."""

    @property
    def texts(self) -> list[str]:
        """In the order of the piece ids."""
        return [*self.opening, self.neighbour, self.own, *self.request, *self.votes]


@dataclass(frozen=True)
class Pieces:
    """Token ids of every piece: fixed ones, then a line for each item, then an answer for each item."""

    tokens: Tokens  # [sum of lengths]
    offsets: Ints  # [NUM_FIXED + 2 I + 1]
    num_items: int
    order: PromptOrder
    """For which the fixed ones are worded."""

    @property
    def lengths(self) -> Ints:
        """Tokens of every piece."""
        return np.diff(self.offsets)

    @property
    def line(self) -> int:
        """The piece id of item 0's line; item i's is this plus i."""
        return NUM_FIXED

    @property
    def answer(self) -> int:
        """The piece id of item 0's answer; item i's is this plus i."""
        return NUM_FIXED + self.num_items

    def piece(self, number: int) -> Tokens:
        """One piece's tokens."""
        return self.tokens[self.offsets[number] : self.offsets[number + 1]]


def clean_title(title: str) -> str:
    """A title on one line, without doubled spaces; never empty."""
    return " ".join(title.split()) or "(untitled)"


def make_frame(
    tokenizer: PreTrainedTokenizerBase | None,
    domain_names: Sequence[str],
    *,
    system: str | None = None,
    order: PromptOrder = "kindred_first",
) -> Frame:
    """The fixed texts, in the chat template of `tokenizer` where it has one; None: the plain Alpaca form."""
    names = [display_name(name) for name in domain_names]
    kinds = [f"{name} " for name in names] if order == "kindred_first" else ["", ""]  # own_first: the request says it
    asks = [f"Recommend a new {kind}item to the user. Answer with its title." for kind in kinds]
    if tokenizer is not None and tokenizer.chat_template:
        before, after = _around_message(tokenizer, system)
        openings = [f"{before}{ask}\n" for ask in asks]
        requests = [f"Recommend a new {name} item.{after}" for name in names]
    else:
        start = _start_token(tokenizer)
        openings = [f"{start}### Instruction:\n{ask}\n\n### Input:\n" for ask in asks]
        requests = [f"Recommend a new {name} item.\n\n### Response:\n" for name in names]
    return Frame(
        opening=(openings[0], openings[1]),
        neighbour="There is another similar user who bought:\n",
        own="The user bought:\n",
        request=(requests[0], requests[1]),
        votes=tuple(f"{_users(votes)} bought:\n" for votes in range(1, MOST_VOTES + 1)),
    )


def _users(votes: int) -> str:
    if votes == 1:
        return "One similar user"
    return f"{votes}{' or more' if votes == MOST_VOTES else ''} similar users"


def display_name(domain: str) -> str:
    """A domain's name as a prompt writes it."""
    return domain.replace("_", " ").strip()


def line_texts(titles: Sequence[str], domains: Sequence[int], domain_names: Sequence[str]) -> list[str]:
    """`<domain>: <title>` and a line end, for every item."""
    names = [display_name(name) for name in domain_names]
    return [f"{names[domain]}: {clean_title(title)}\n" for title, domain in zip(titles, domains, strict=True)]


def tokenize_texts(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of texts that come from outside: what looks like a special token stays plain text."""
    if not texts:
        return []
    encoded = tokenizer(list(texts), add_special_tokens=False, split_special_tokens=True, return_attention_mask=False)
    return [list(ids) for ids in encoded["input_ids"]]


def answer_tokens(tokenizer: PreTrainedTokenizerBase, titles: Sequence[str]) -> list[list[int]]:
    """Every title as the model is taught to write it: its tokens, whole, and the end token."""
    end = tokenizer.eos_token_id
    return [[*ids, end] for ids in tokenize_texts(tokenizer, [clean_title(title) for title in titles])]


def build_pieces(
    tokenizer: PreTrainedTokenizerBase,
    *,
    titles: Sequence[str],
    domains: Sequence[int],
    domain_names: Sequence[str],
    max_item_tokens: int,
    system: str | None = None,
    order: PromptOrder = "kindred_first",
) -> Pieces:
    """Tokenise everything that prompts are made of, once; lines are cut to `max_item_tokens`, answers are not."""
    frame = make_frame(tokenizer, domain_names, system=system, order=order)
    fixed = [list(ids) for ids in tokenizer(frame.texts, add_special_tokens=False)["input_ids"]]
    lines = tokenize_texts(tokenizer, line_texts(titles, domains, domain_names))
    end_of_line = tokenize_texts(tokenizer, ["a\n"])[0][-1:]
    lines = [ids if len(ids) <= max_item_tokens else _cut(ids, max_item_tokens, end_of_line) for ids in lines]
    pieces = [*fixed, *lines, *answer_tokens(tokenizer, titles)]
    lengths = np.fromiter(map(len, pieces), dtype=np.int64, count=len(pieces))
    offsets = offsets_of(lengths)
    tokens = np.fromiter((token for ids in pieces for token in ids), dtype=np.int32, count=int(offsets[-1]))
    return Pieces(tokens=tokens, offsets=offsets, num_items=len(titles), order=order)


def _cut(ids: list[int], limit: int, end_of_line: list[int]) -> list[int]:
    kept = ids[:limit]
    return kept if limit == 1 else [*kept[:-1], *end_of_line]


def _around_message(tokenizer: PreTrainedTokenizerBase, system: str | None) -> tuple[str, str]:
    """What the chat template writes before and after a user's message, up to where the answer begins."""
    where = tokenizer.name_or_path
    try:
        text = bounded_text(lambda: _render(tokenizer, system), seconds=TEMPLATE_SECONDS)
    except Unbounded as error:
        raise InputError(f"{where}: its chat template {error}; mend it or take it out") from error
    except ValueError as error:
        raise InputError(f"{where}: its chat template fails ({error}); mend it or take it out") from error
    before, mark, after = text.partition(MESSAGE_MARK)
    if not mark:
        raise InputError(f"{where}: its chat template does not show the user's message")
    return before, after


def _render(tokenizer: PreTrainedTokenizerBase, system: str | None) -> str:
    """Without a system message the shorter of two texts counts: templates may put in one of their own unless one is
    given, and others refuse any."""
    plain = {"role": "user", "content": MESSAGE_MARK}
    if system is not None:
        return _apply(tokenizer, [{"role": "system", "content": system}, plain])
    text = _apply(tokenizer, [plain])
    try:
        silenced = _apply(tokenizer, [{"role": "system", "content": ""}, plain])
    except Exception:  # templates raise errors of their own
        return text
    return min(text, silenced, key=len) if MESSAGE_MARK in silenced else text


def _apply(tokenizer: PreTrainedTokenizerBase, messages: list[dict[str, str]]) -> str:
    text = tokenizer.apply_chat_template(
        messages,
        add_generation_prompt=True,
        tokenize=False,
        enable_thinking=False,  # templates without this variable ignore it
    )
    assert isinstance(text, str)
    return text


def _start_token(tokenizer: PreTrainedTokenizerBase | None) -> str:
    """The token that a base model expects first, if it has one."""
    if tokenizer is None or tokenizer.bos_token_id is None:
        return ""
    first = tokenizer("x")["input_ids"][:1]
    return str(tokenizer.bos_token) if first == [tokenizer.bos_token_id] else ""
