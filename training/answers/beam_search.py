"""Beam search over a batch of prompts, array-wise: all beams of all prompts step together, no loop over rows.

The rules are those of transformers' `generate` (its tests compare the two): a step looks at the best
(1 + end tokens) * K continuations of a prompt; those among the first K that end a sequence are candidates for the
result, the best K of the others go on; a prompt is done when no running beam can beat its K results.
What differs is the cost: the cache holds each prompt once (tree_cache), beams that can no longer win and prompts
that are done leave the batch, what a title allows next comes from two arrays (title_trie), and tokens that a title
leaves no choice in are read together (foretold). Each prompt steps as far as the model has spoken, whatever the others
do; when none can, the model reads what all of them need.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from training.answers.choices import NEVER, Choices, Continuations, pick
from training.answers.foretold import Foretold, Reader, Unread
from training.answers.results import Beams, Results
from training.answers.tree_cache import new_tree_cache

COMPACT_BELOW = 0.75
"""A batch is copied to a smaller one when at most this share of its prompts is still running."""


@dataclass(frozen=True)
class Running:
    """The K beams of each of n prompts; those with a score of -inf are no beams."""

    prompt: torch.Tensor  # [n], its place among all
    length: torch.Tensor  # [n], tokens written
    position: torch.Tensor  # [n], tokens of the prompt
    scores: torch.Tensor  # [n, K]
    node: torch.Tensor  # [n, K]
    written: torch.Tensor  # [n, K, max_new_tokens]
    visible: torch.Tensor  # [n, K, slots], the prompt and the beam's own ancestors
    is_read: torch.Tensor  # [n, K], whether the model has read its last token
    row: torch.Tensor  # [n, K], this and what follows: see Foretold
    forced: torch.Tensor  # [n, K, L]
    run: torch.Tensor  # [n, K]
    used: torch.Tensor  # [n, K]

    @property
    def lives(self) -> torch.Tensor:
        """[n, K] which are beams."""
        return self.scores > NEVER

    @property
    def can_step(self) -> torch.Tensor:
        """[n] the prompts of whose beams the model has said enough."""
        return self.lives.any(1) & (self.is_read | ~self.lives).all(1)

    def take(self, places: torch.Tensor) -> "Running":
        """Some of the prompts."""
        return Running(**{field.name: getattr(self, field.name)[places] for field in dataclasses.fields(self)})

    def put(self, places: torch.Tensor, others: "Running") -> None:
        """Write `others` over these prompts."""
        for field in dataclasses.fields(self):
            getattr(self, field.name)[places] = getattr(others, field.name)


@torch.inference_mode()
def search_beams(
    model: Any,  # Any: a transformers causal LM; its call is not typed
    prompts: Sequence[Sequence[int]],
    choices: Choices,
    *,
    start: Sequence[int],
    num_beams: int,
    max_new_tokens: int,
    pad_token: int,
    length_penalty: float = 0.0,
) -> list[Beams]:
    """Continue every prompt; `start` is the trie node below which each may write (ignored in free text)."""
    reader = Reader(model, new_tree_cache(), pad_token)
    table, seen = reader.read_prompts(prompts)
    beams = _first_beams(seen, torch.tensor(list(start), device=seen.device), num_beams, max_new_tokens, table.dtype)
    results = Results(len(prompts), num_beams, max_new_tokens, seen.device, table.dtype)
    while True:
        while len(places := torch.nonzero(beams.can_step).squeeze(1)):
            beams.put(places, _step(beams.take(places), table, choices, results, length_penalty))
        kept = torch.nonzero(beams.lives.any(1)).squeeze(1)
        if not len(kept):
            return results.as_beams()
        if len(kept) <= COMPACT_BELOW * len(beams.prompt):
            reader.cache.batch_select_indices(kept)
            beams = beams.take(kept)
        table, beams = _read_on(reader, beams, table, choices)


def _first_beams(
    seen: torch.Tensor, start: torch.Tensor, num_beams: int, max_new_tokens: int, dtype: torch.dtype
) -> Running:
    """One beam a prompt, that has written nothing."""
    n = len(seen)
    zeros = start.new_zeros((n, num_beams))
    scores = torch.full((n, num_beams), NEVER, dtype=dtype, device=seen.device)
    scores[:, 0] = 0
    order = torch.arange(n, device=seen.device)
    return Running(
        prompt=order,
        length=zeros[:, 0].clone(),
        position=seen.sum(1),
        scores=scores,
        node=start[:, None].repeat(1, num_beams),
        written=start.new_zeros((n, num_beams, max_new_tokens)),
        visible=seen[:, None, :].repeat(1, num_beams, 1),
        is_read=torch.ones_like(scores, dtype=torch.bool),
        row=order[:, None].repeat(1, num_beams),
        forced=scores.new_zeros((n, num_beams, 0)),
        run=zeros.clone(),
        used=zeros.clone(),
    )


def _step(beams: Running, table: torch.Tensor, choices: Choices, results: Results, length_penalty: float) -> Running:
    """Every prompt's beams one token on; those that ended are with the results."""
    num_beams, most = beams.scores.shape[1], beams.written.shape[2]
    length = beams.length + 1
    foretold = Foretold(table, beams.row, beams.forced, beams.run, beams.used)
    keep = (1 + choices.num_ends) * num_beams
    top = _best(choices.expand(foretold, beams.scores, beams.node, keep), keep)
    ended = top.ends | (length == most)[:, None]
    reached = pick(beams.written, top.beam)
    reached[torch.arange(len(length), device=length.device), :, beams.length] = top.token
    results.add(beams.prompt, top, reached, ended, length, length_penalty)

    place = torch.argsort(ended | (top.scores == NEVER), dim=1, stable=True)[:, :num_beams]
    scores = top.scores.gather(1, place).masked_fill(ended.gather(1, place), NEVER)
    parent = top.beam.gather(1, place)
    used, run = beams.used.gather(1, parent), beams.run.gather(1, parent)
    return Running(
        prompt=beams.prompt,
        length=length,
        position=beams.position,
        scores=results.drop_beaten(beams.prompt, scores, length, length_penalty),
        node=top.node.gather(1, place),
        written=pick(reached, place),
        visible=pick(beams.visible, parent),
        is_read=used < run,  # the token that it has taken is one of the only way
        row=beams.row.gather(1, parent),
        forced=pick(beams.forced, parent),
        run=run,
        used=used + 1,
    )


def _read_on(reader: Reader, beams: Running, table: torch.Tensor, choices: Choices) -> tuple[torch.Tensor, Running]:
    """Let the model read every beam's last token where it has not, and the only way from there on: a new table."""
    asks = beams.lives & ~beams.is_read
    knows = beams.lives & beams.is_read
    most = beams.written.shape[2]
    left = (most - 1 - beams.length)[:, None].expand_as(beams.node)
    way, run = choices.only_way(beams.node, left, asks & reader.reads_ahead)
    run = _evened(run, asks)
    last = beams.written.gather(2, (beams.length - 1)[:, None, None].expand(-1, beams.node.shape[1], 1))
    unread = Unread(
        tokens=torch.cat([last, way], dim=2),
        count=torch.where(asks, 1 + run, 0),
        position=beams.position + beams.length - 1,
    )
    ends, forced, visible = reader.read(unread, beams.visible)
    row = torch.zeros_like(beams.row)
    kept = int(knows.sum())
    row[knows] = torch.arange(kept, device=row.device)
    row[asks] = torch.arange(kept, kept + len(ends), device=row.device)
    room = max(forced.shape[2], beams.forced.shape[2] if kept else 0)
    return torch.cat([table[beams.row[knows]], ends]) if kept else ends, dataclasses.replace(
        beams,
        visible=visible,
        is_read=torch.ones_like(beams.is_read),
        row=row,
        forced=torch.where(asks[:, :, None], _widened(forced, room), _widened(beams.forced, room)),
        run=torch.where(asks, run, beams.run),
        used=torch.where(asks, 0, beams.used),
    )


def _evened(run: torch.Tensor, asks: torch.Tensor) -> torch.Tensor:
    """`run` [n, K] cut where a prompt would have more tokens read than the mean: the others' rows would be padded."""
    most = torch.arange(int(run.max()) + 1, device=run.device)[:, None, None]
    sizes = ((1 + torch.minimum(run, most)) * asks).sum(2)  # [L + 1, n] of a prompt whose ways have at most so many
    mean = sizes[-1][asks.any(1)].double().mean().ceil()
    return torch.minimum(run, ((sizes <= mean).sum(0) - 1).clamp(min=0)[:, None])


def _widened(forced: torch.Tensor, room: int) -> torch.Tensor:
    return torch.nn.functional.pad(forced, (0, room - forced.shape[2]))


def _best(continuations: Continuations, keep: int) -> Continuations:
    """The best `keep` a prompt; ties by beam, then by token as the choices list them."""
    scores, order = torch.sort(continuations.scores, dim=1, descending=True, stable=True)
    order = order[:, :keep]
    return Continuations(
        scores[:, :keep],
        *(
            column.gather(1, order)
            for column in (continuations.beam, continuations.token, continuations.node, continuations.ends)
        ),
    )
