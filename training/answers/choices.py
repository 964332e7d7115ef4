"""What a beam may be continued with: any token, or the next tokens of the titles in a trie."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from training.answers.config import MOST_AHEAD
from training.answers.foretold import Foretold
from training.answers.title_trie import TrieOnDevice

NEVER = float("-inf")


@dataclass(frozen=True)
class Continuations:
    """What may come next, [batch, M]; absent places have score -inf."""

    scores: torch.Tensor
    beam: torch.Tensor
    token: torch.Tensor
    node: torch.Tensor
    ends: torch.Tensor


class Choices(Protocol):
    """What a beam may be continued with."""

    num_ends: int
    """Different end tokens that one beam can be followed by."""

    def expand(self, foretold: Foretold, scores: torch.Tensor, node: torch.Tensor, keep: int) -> Continuations:
        """Continuations of beams with `scores`, `node` [batch, W], given what the model has said of the next token.

        At least the best `keep` of every prompt are among them.
        """
        ...

    def only_way(self, node: torch.Tensor, most: torch.Tensor, asks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The tokens that follow `node` [batch, W] without a choice, before an end token: [batch, W, L], and how many.

        Args:
            most: [batch, W] that are wanted.
            asks: [batch, W] where they are wanted.
        """
        ...


class FreeText:
    """Any token of the vocabulary; an end token ends the text."""

    def __init__(self, end_tokens: Sequence[int], device: torch.device) -> None:
        self.num_ends = len(end_tokens)
        self._end_tokens = torch.tensor(list(end_tokens), device=device)

    def expand(self, foretold: Foretold, scores: torch.Tensor, node: torch.Tensor, keep: int) -> Continuations:
        """The best `keep` tokens of each beam."""
        batch, width = scores.shape
        best, token = foretold.best(keep)
        beam = torch.arange(width, device=scores.device)[None, :, None].expand_as(token)
        token = token.reshape(batch, -1)
        return Continuations(
            scores=(scores[:, :, None] + best).reshape(batch, -1),
            beam=beam.reshape(batch, -1),
            token=token,
            node=torch.full_like(token, -1),
            ends=torch.isin(token, self._end_tokens),
        )

    def only_way(self, node: torch.Tensor, most: torch.Tensor, asks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """None: there is always a choice."""
        return node.new_zeros((*node.shape, 0)), torch.zeros_like(node)


class TitlesOnly:
    """The next tokens of titles in a trie; a leaf ends the text."""

    num_ends = 1

    def __init__(self, trie: TrieOnDevice) -> None:
        self._trie = trie

    def expand(self, foretold: Foretold, scores: torch.Tensor, node: torch.Tensor, keep: int) -> Continuations:
        """All children of every beam's node, prompt by prompt from the left."""
        batch, width = scores.shape
        alive = torch.nonzero((scores > NEVER).reshape(-1)).squeeze(1)
        owner, child = self._trie.expand(node.reshape(-1)[alive])
        flat = alive[owner]
        prompt, beam = flat // width, flat % width
        token = self._trie.token[child]
        per_prompt = torch.bincount(prompt, minlength=batch)
        place = torch.arange(len(prompt), device=scores.device) - (per_prompt.cumsum(0) - per_prompt)[prompt]
        room = max(keep, int(per_prompt.max()))

        def spread(values: torch.Tensor, empty: float) -> torch.Tensor:
            table = torch.full((batch, room), empty, dtype=values.dtype, device=values.device)
            table[prompt, place] = values
            return table

        gained = foretold.gained(prompt, beam, token)
        return Continuations(
            scores=spread(scores[prompt, beam] + gained, NEVER),
            beam=spread(beam, 0),
            token=spread(token, 0),
            node=spread(child, 0),
            ends=spread(self._trie.is_leaf(child), False),
        )

    def only_way(self, node: torch.Tensor, most: torch.Tensor, asks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """As far as every node has one child that is no leaf, at most `MOST_AHEAD` tokens."""
        run = torch.zeros_like(node)
        most = most.clamp(max=MOST_AHEAD)
        tokens: list[torch.Tensor] = []
        goes = asks
        while True:
            child = self._trie.first_child[node]
            goes = goes & (self._trie.first_child[node + 1] == child + 1) & (run < most)
            child = torch.where(goes, child, 0)  # the root has children: it is no leaf
            goes = goes & ~self._trie.is_leaf(child)
            if not bool(goes.any()):
                break
            node = torch.where(goes, child, node)
            run = run + goes
            tokens.append(self._trie.token[child])
        empty = node.new_zeros((*node.shape, 0))
        return torch.stack(tokens, dim=2) if tokens else empty, run


def pick(values: torch.Tensor, beam: torch.Tensor) -> torch.Tensor:
    """values [batch, W, ...] at `beam` [batch, K] -> [batch, K, ...]."""
    return values[torch.arange(len(values), device=values.device)[:, None], beam]
