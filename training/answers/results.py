"""The sequences that a beam search has ended, the best of every prompt."""

from dataclasses import dataclass

import torch

from training.answers.choices import NEVER, Continuations, pick


@dataclass(frozen=True)
class Beams:
    """The results for one prompt, best first."""

    tokens: list[list[int]]
    """Generated tokens of each beam, its end token included."""
    scores: list[float]
    """Log-probability / tokens ** length_penalty."""
    leaves: list[int]
    """The trie node where each beam ended; -1 in free text."""


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
        length: torch.Tensor,
        length_penalty: float,
    ) -> None:
        """Merge the sequences that ended among the first K continuations of some prompts.

        Args:
            rows: [n] the prompts.
            reached: [n, M, max_new_tokens] the continuations' tokens; what is behind `length` of them says nothing.
            length: [n] tokens that each prompt's continuations have.
        """
        num_beams = self.scores.shape[1]
        first = slice(None, num_beams)
        new_scores = (top.scores[:, first] / length[:, None] ** length_penalty).masked_fill(~ended[:, first], NEVER)
        if not bool((new_scores > NEVER).any()):
            return
        scores, order = torch.sort(torch.cat([self.scores[rows], new_scores], 1), dim=1, descending=True, stable=True)
        order = order[:, first]

        def merge(old: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
            return pick(torch.cat([old[rows], new], 1), order)

        self.tokens[rows] = merge(self.tokens, reached[:, first])
        self.nodes[rows] = merge(self.nodes, top.node[:, first])
        self.lengths[rows] = merge(self.lengths, length[:, None].expand_as(top.node[:, first]))
        self.scores[rows] = scores[:, first]

    def drop_beaten(
        self, rows: torch.Tensor, running: torch.Tensor, length: torch.Tensor, length_penalty: float
    ) -> torch.Tensor:
        """`running` scores [n, K] with -inf for beams that cannot enter the results any more.

        Without a length penalty a score only falls, so that is exact for each beam. With one it is
        transformers' rule: a prompt is done when its best beam, ended here, would not enter.
        """
        worst = self.scores[rows][:, -1:]  # -inf while there are fewer than K
        if length_penalty == 0:
            return running.masked_fill(running <= worst, NEVER)
        return running.masked_fill(running[:, :1] / length[:, None] ** length_penalty <= worst, NEVER)

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
