"""Beam search over a batch of prompts, array-wise: all beams of all prompts step together, no loop over rows.

The rules are those of transformers' `generate` (its tests compare the two): a step looks at the best
(1 + end tokens) * K continuations of a prompt; those among the first K that end a sequence are candidates for the
result, the best K of the others go on; a prompt is done when no running beam can beat its K results.
What differs is the cost: the cache holds each prompt once (tree_cache), beams that can no longer win and prompts
that are done leave the batch, and what a title allows next comes from two arrays (title_trie).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from training.answers.choices import NEVER, Choices, Continuations
from training.answers.tree_cache import new_tree_cache

COMPACT_BELOW = 0.75
"""A batch is copied to a smaller one when at most this share of its prompts is still running."""


@dataclass(frozen=True)
class Beams:
    """The results for one prompt, best first."""

    tokens: list[list[int]]
    """Generated tokens of each beam, its end token included."""
    scores: list[float]
    """Log-probability / tokens ** length_penalty."""
    leaves: list[int]
    """The trie node where each beam ended; -1 in free text."""


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
    device = next(model.parameters()).device
    input_ids, seen = _pad_left(prompts, pad_token, device)
    cache = new_tree_cache()
    logits = model(
        input_ids=input_ids,
        attention_mask=seen,
        position_ids=(seen.cumsum(1) - 1).clamp(min=0),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    ).logits

    precision = torch.promote_types(logits.dtype, torch.float32)
    results = Results(len(prompts), num_beams, max_new_tokens, device, precision)
    rows = torch.arange(len(prompts), device=device)
    positions = seen.sum(1)
    visible = seen.bool()[:, None, :]  # [batch, W, slots]: the prompt and the beam's own ancestors
    scores = torch.zeros((len(prompts), 1), dtype=precision, device=device)
    node = torch.tensor(list(start), device=device)[:, None]
    written = torch.zeros((len(prompts), 1, 0), dtype=torch.long, device=device)

    for length in range(1, max_new_tokens + 1):
        log_probs = torch.log_softmax(logits.to(precision), dim=-1)
        keep = (1 + choices.num_ends) * num_beams
        top = _best(choices.expand(log_probs, scores, node, keep), keep)
        ended = top.ends if length < max_new_tokens else torch.ones_like(top.ends)
        reached = torch.cat([_pick(written, top.beam), top.token[:, :, None]], dim=2)
        results.add(rows, top, reached, ended, length, length_penalty)

        place = torch.argsort(ended | (top.scores == NEVER), dim=1, stable=True)[:, :num_beams]
        scores = top.scores.gather(1, place).masked_fill(ended.gather(1, place), NEVER)
        scores = results.drop_beaten(rows, scores, length, length_penalty)
        going = scores > NEVER
        width = int(going.sum(1).max())  # beams are in order of score: the living ones come first
        if width == 0:
            break
        place, scores = place[:, :width], scores[:, :width]
        parent, token, node = (column.gather(1, place) for column in (top.beam, top.token, top.node))
        written, visible = _pick(reached, place), _pick(visible, parent)

        kept = torch.nonzero(going.any(1)).squeeze(1)
        if len(kept) <= COMPACT_BELOW * len(rows):
            cache.batch_select_indices(kept)
            rows, positions, scores, node = rows[kept], positions[kept], scores[kept], node[kept]
            token, written, visible = token[kept], written[kept], visible[kept]

        own = torch.eye(width, dtype=torch.bool, device=device).expand(len(rows), width, width)
        visible = torch.cat([visible, own], dim=2)
        logits = model(
            input_ids=token,
            attention_mask=_additive(visible, logits.dtype),
            position_ids=(positions + length - 1)[:, None].expand(-1, width),
            past_key_values=cache,
            use_cache=True,
        ).logits
    return results.as_beams()


class Results:
    """The best K ended sequences of every prompt."""

    def __init__(
        self, num_prompts: int, num_beams: int, max_new_tokens: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.scores = torch.full((num_prompts, num_beams), NEVER, dtype=dtype, device=device)
        self.lengths = torch.zeros((num_prompts, num_beams), dtype=torch.long, device=device)
        self.nodes = torch.full((num_prompts, num_beams), -1, dtype=torch.long, device=device)
        self.tokens = torch.zeros((num_prompts, num_beams, max_new_tokens), dtype=torch.long, device=device)

    def add(
        self,
        rows: torch.Tensor,
        top: Continuations,
        reached: torch.Tensor,
        ended: torch.Tensor,
        length: int,
        length_penalty: float,
    ) -> None:
        """Merge the sequences that ended among the first K continuations."""
        num_beams = self.scores.shape[1]
        first = slice(None, num_beams)
        new_scores = (top.scores[:, first] / length**length_penalty).masked_fill(~ended[:, first], NEVER)
        if not bool((new_scores > NEVER).any()):
            return
        new_tokens = self.tokens.new_zeros((*new_scores.shape, self.tokens.shape[2]))
        new_tokens[:, :, :length] = reached[:, first]
        scores, order = torch.sort(torch.cat([self.scores[rows], new_scores], 1), dim=1, descending=True, stable=True)
        order = order[:, first]

        def merge(old: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
            return _pick(torch.cat([old[rows], new], 1), order)

        self.tokens[rows] = merge(self.tokens, new_tokens)
        self.nodes[rows] = merge(self.nodes, top.node[:, first])
        self.lengths[rows] = merge(self.lengths, torch.full_like(top.node[:, first], length))
        self.scores[rows] = scores[:, first]

    def drop_beaten(
        self, rows: torch.Tensor, running: torch.Tensor, length: int, length_penalty: float
    ) -> torch.Tensor:
        """`running` scores [batch, K] with -inf for beams that cannot enter the results any more.

        Without a length penalty a score only falls, so that is exact for each beam. With one it is
        transformers' rule: a prompt is done when its best beam, ended here, would not enter.
        """
        worst = self.scores[rows][:, -1:]  # -inf while there are fewer than K
        if length_penalty == 0:
            return running.masked_fill(running <= worst, NEVER)
        return running.masked_fill(running[:, :1] / length**length_penalty <= worst, NEVER)

    def as_beams(self) -> list[Beams]:
        """One `Beams` a prompt."""
        beams = []
        for tokens, lengths, scores, nodes in zip(
            self.tokens.tolist(), self.lengths.tolist(), self.scores.tolist(), self.nodes.tolist(), strict=True
        ):
            count = sum(score > NEVER for score in scores)
            cut = [sequence[:length] for sequence, length in zip(tokens, lengths, strict=True)]
            beams.append(Beams(tokens=cut[:count], scores=scores[:count], leaves=nodes[:count]))
        return beams


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


def _pick(values: torch.Tensor, beam: torch.Tensor) -> torch.Tensor:
    """values [batch, W, ...] at `beam` [batch, K] -> [batch, K, ...]."""
    return values[torch.arange(len(values), device=values.device)[:, None], beam]


def _pad_left(
    prompts: Sequence[Sequence[int]], pad_token: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(len(prompt) for prompt in prompts)
    input_ids = torch.full((len(prompts), longest), pad_token, dtype=torch.long)
    seen = torch.zeros((len(prompts), longest), dtype=torch.long)
    for row, prompt in enumerate(prompts):
        input_ids[row, longest - len(prompt) :] = torch.tensor(prompt)
        seen[row, longest - len(prompt) :] = 1
    return input_ids.to(device), seen.to(device)


def _additive(visible: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """[batch, W, slots] booleans as the [batch, 1, W, slots] numbers that every attention back end adds."""
    hidden = torch.finfo(dtype).min
    return torch.zeros(visible.shape, dtype=dtype, device=visible.device).masked_fill(~visible, hidden)[:, None]
