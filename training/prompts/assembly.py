"""Cut prompts to their token budget and join their pieces, for a batch of samples at once.

Lines compete for the budget in one order: own most recent items first, then what kindred users bought, group by group:
the nearest user's most recent items, then the next user's; or the items with the most votes, then those with fewer.
The first line that does not fit ends the choice. The answer is never cut, and
`answer_reserve` tokens are always set aside for it, so that training prompts look like those at generation.
An answer longer than the reserve takes room from its own prompt in training, where `max_tokens` bounds the memory;
elsewhere it stands beyond `max_tokens`, so that a prompt never depends on its answer.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from launch.errors import InputError
from pairs.ragged import offsets_of, segments
from training.prompts.pieces import OPENING, OWN, REQUEST, Ints, Pieces, Tokens

Mask = npt.NDArray[np.bool_]
NO_PIECE = -1


@dataclass(frozen=True)
class Wanted:
    """What prompts could show, before the budget. Items are ids; `num_items` stands for none."""

    sample: Ints  # [B]
    domain: Ints  # [B], the asked domain
    own: Ints  # [B, H], left-padded, oldest first
    neighbours: Ints  # [B, K, M], the first group first; each left-padded, the item that comes first at its end
    headers: Ints  # [B, K], the piece that stands above each group
    buyers: Ints  # [B, K, M], which kindred users bought the item: bit k for the k-th nearest
    target: Ints | None  # [B]; None: no answer is written
    watched: Ints  # [B], the target, of which is told whether kindred users show it; it changes no prompt


@dataclass(frozen=True)
class Prompts:
    """Token ids of prompts, one after another."""

    sample: Ints  # [B]
    tokens: Tokens  # [sum of lengths]
    offsets: Ints  # [B + 1]
    prompt_length: Ints  # [B], tokens before the answer
    of_items: Mask  # [sum of lengths], tokens of items' lines but for a prompt's first line, and of answers
    own_shown: Ints  # [B], own items shown
    neighbours_shown: Ints  # [B], kindred users of whom at least one item is shown
    neighbours_wanted: Ints  # [B], of whom one would be, were there room
    target_shown: Mask  # [B], whether the target is among what is shown of them


@dataclass(frozen=True)
class Budget:
    """How long prompts may be, in tokens."""

    max_tokens: int
    """Prompt and answer together."""
    answer_reserve: int
    """Always left for the answer."""
    fit_answer: bool
    """Whether an answer longer than the reserve shortens its prompt (training) or not."""


def assemble(pieces: Pieces, wanted: Wanted, budget: Budget) -> Prompts:
    """The prompts of a batch, with their answers where there are targets."""
    keep_own, keep_neighbours = choose_lines(pieces, wanted, budget)
    segments_BS = _segments(pieces, wanted, keep_own, keep_neighbours)
    lengths = np.where(segments_BS == NO_PIECE, 0, pieces.lengths[segments_BS])
    total = lengths.sum(axis=1)
    answers = lengths[:, -1] if wanted.target is not None else np.zeros_like(total)
    return Prompts(
        sample=wanted.sample,
        tokens=_join(pieces, segments_BS[segments_BS != NO_PIECE]),
        offsets=offsets_of(total),
        prompt_length=total - answers,
        of_items=_of_items(pieces, segments_BS),
        own_shown=keep_own.sum(axis=1),
        neighbours_shown=_users_among(np.where(keep_neighbours, wanted.buyers, 0)),
        neighbours_wanted=_users_among(wanted.buyers),
        target_shown=(keep_neighbours & (wanted.neighbours == wanted.watched[:, None, None])).any(axis=(1, 2)),
    )


def least_tokens(pieces: Pieces, *, domain: Ints, target: Ints, latest: Ints) -> Ints:
    """Tokens [B] that a prompt takes with its answer and one own item, its latest (`num_items`: it has none)."""
    return _fixed(pieces, domain) + _line_costs(pieces, latest) + pieces.lengths[pieces.answer + target]


def choose_lines(pieces: Pieces, wanted: Wanted, budget: Budget) -> tuple[Mask, Mask]:
    """Which own items [B, H] and which neighbours' items [B, K, M] fit."""
    room = _room(pieces, wanted, budget)
    B, K, M = wanted.neighbours.shape
    own_cost = _line_costs(pieces, wanted.own)[:, ::-1]  # the most recent item first
    their_cost = _line_costs(pieces, wanted.neighbours)[:, :, ::-1].copy()
    if M:  # a group's header is paid for with the first line below it
        their_cost[:, :, 0] += np.where(their_cost[:, :, 0] > 0, pieces.lengths[wanted.headers], 0)
    cost = np.concatenate([own_cost, their_cost.reshape(B, K * M)], axis=1)
    keep = (cost > 0) & (np.cumsum(cost, axis=1) <= room[:, None])
    H = own_cost.shape[1]
    shut_out = (own_cost[:, 0] > 0) & ~keep[:, 0]
    if shut_out.any():
        needed = np.where(shut_out, budget.max_tokens - room + own_cost[:, 0], 0)
        row = int(needed.argmax())
        raise InputError(
            f"prompts.max_tokens={budget.max_tokens} is too small: sample {wanted.sample[row]} needs {needed[row]} "
            "tokens for its request, answer and most recent item"
        )
    return keep[:, :H][:, ::-1], keep[:, H:].reshape(B, K, M)[:, :, ::-1]


def _room(pieces: Pieces, wanted: Wanted, budget: Budget) -> Ints:
    """Tokens [B] that lines may take."""
    answer = np.full(len(wanted.sample), budget.answer_reserve, dtype=np.int64)
    if budget.fit_answer and wanted.target is not None:
        answer = np.maximum(answer, pieces.lengths[pieces.answer + wanted.target])
    return np.asarray(budget.max_tokens - _fixed(pieces, wanted.domain) - answer, dtype=np.int64)


def _fixed(pieces: Pieces, domain: Ints) -> Ints:
    """Tokens [B] that stand in every prompt."""
    lengths = pieces.lengths
    return np.asarray(lengths[OPENING + domain] + lengths[OWN] + lengths[REQUEST + domain], dtype=np.int64)


def _line_costs(pieces: Pieces, items: Ints) -> Ints:
    """Tokens of the items' lines; 0 where there is no item."""
    lengths = np.append(pieces.lengths[pieces.line : pieces.line + pieces.num_items], 0)
    return np.asarray(lengths[items], dtype=np.int64)


def _segments(pieces: Pieces, wanted: Wanted, keep_own: Mask, keep_neighbours: Mask) -> Ints:
    """The piece ids [B, S] of every prompt in the order of reading, `NO_PIECE` where nothing stands."""
    B, K, M = wanted.neighbours.shape
    headers = np.where(keep_neighbours.any(axis=2), wanted.headers, NO_PIECE)
    their_lines = np.where(keep_neighbours, pieces.line + wanted.neighbours, NO_PIECE)
    blocks = np.concatenate([headers[:, :, None], their_lines], axis=2).reshape(B, K * (M + 1))
    own = [np.full((B, 1), OWN), np.where(keep_own, pieces.line + wanted.own, NO_PIECE)]
    told = [*own, blocks] if pieces.order == "own_first" else [blocks, *own]
    columns = [(OPENING + wanted.domain)[:, None], *told, (REQUEST + wanted.domain)[:, None]]
    if wanted.target is not None:
        columns.append((pieces.answer + wanted.target)[:, None])
    return np.concatenate(columns, axis=1)


def _of_items(pieces: Pieces, segments_BS: Ints) -> Mask:
    """Of every token in the order of reading, whether it belongs to an item before which another line stands."""
    is_item_BS = segments_BS >= pieces.line
    is_first_BS = is_item_BS & (np.cumsum(is_item_BS, axis=1) == 1) & (segments_BS < pieces.answer)
    there_BS = segments_BS != NO_PIECE
    return np.repeat((is_item_BS & ~is_first_BS)[there_BS], pieces.lengths[segments_BS[there_BS]])


def _users_among(buyers: Ints) -> Ints:
    """How many users [B] have a bit in [B, K, M]."""
    return np.asarray(np.bitwise_count(np.bitwise_or.reduce(buyers, axis=(1, 2))), dtype=np.int64)


def _join(pieces: Pieces, ids: Ints) -> Tokens:
    """The tokens of the pieces `ids`, one after another."""
    lengths = pieces.lengths[ids]
    return np.asarray(pieces.tokens[segments(pieces.offsets[ids], lengths)], dtype=np.int32)
