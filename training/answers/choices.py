"""What a beam may be continued with: any token, or the next tokens of the titles in a trie."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

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

    def expand(self, log_probs: torch.Tensor, scores: torch.Tensor, node: torch.Tensor, keep: int) -> Continuations:
        """Continuations of beams with `scores`, `node` [batch, W], given the next token's `log_probs` [batch, W, V].

        At least the best `keep` of every prompt are among them.
        """
        ...


class FreeText:
    """Any token of the vocabulary; an end token ends the text."""

    def __init__(self, end_tokens: Sequence[int], device: torch.device) -> None:
        self.num_ends = len(end_tokens)
        self._end_tokens = torch.tensor(list(end_tokens), device=device)

    def expand(self, log_probs: torch.Tensor, scores: torch.Tensor, node: torch.Tensor, keep: int) -> Continuations:
        """The best `keep` tokens of each beam."""
        batch, width, vocab = log_probs.shape
        best, token = log_probs.topk(min(keep, vocab), dim=-1)
        beam = torch.arange(width, device=scores.device)[None, :, None].expand_as(token)
        token = token.reshape(batch, -1)
        return Continuations(
            scores=(scores[:, :, None] + best).reshape(batch, -1),
            beam=beam.reshape(batch, -1),
            token=token,
            node=torch.full_like(token, -1),
            ends=torch.isin(token, self._end_tokens),
        )


class TitlesOnly:
    """The next tokens of titles in a trie; a leaf ends the text."""

    num_ends = 1

    def __init__(self, trie: TrieOnDevice) -> None:
        self._trie = trie

    def expand(self, log_probs: torch.Tensor, scores: torch.Tensor, node: torch.Tensor, keep: int) -> Continuations:
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

        gained = log_probs[prompt, beam, token]
        return Continuations(
            scores=spread(scores[prompt, beam] + gained, NEVER),
            beam=spread(beam, 0),
            token=spread(token, 0),
            node=spread(child, 0),
            ends=spread(self._trie.is_leaf(child), False),
        )
