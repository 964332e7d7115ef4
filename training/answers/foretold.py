"""What the model has said of the tokens that may come next, and the reading that makes it say so.

Where a beam stands at a node of the title trie from which only one way leads on, the tokens of that way are read
together with the beam's own: one forward pass then says all that is needed until the way divides, or the title ends.
Real titles are alone in the catalogue after a few tokens, so most of their tokens cost no pass of their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from training.plain_heads import PLAIN_HEADS
from training.ranking.likelihood import token_log_probabilities


@dataclass(frozen=True)
class Foretold:
    """Log-probabilities behind the W beams of n prompts."""

    table: torch.Tensor
    """[R, V] of every token of the vocabulary, behind the last token that was read of a beam."""
    row: torch.Tensor
    """[n, W] a beam's row of the table."""
    forced: torch.Tensor
    """[n, W, L] of the tokens of the only way, one after the other."""
    run: torch.Tensor
    """[n, W] how many of these there are."""
    used: torch.Tensor
    """[n, W] how many of them the beam has taken."""

    def gained(self, prompt: torch.Tensor, beam: torch.Tensor, token: torch.Tensor) -> torch.Tensor:
        """[N] of given tokens behind given beams."""
        free = self.table[self.row[prompt, beam], token]
        if not self.forced.shape[2]:
            return free
        used = self.used[prompt, beam]
        on_way = self.forced[prompt, beam, used.clamp(max=self.forced.shape[2] - 1)]
        return torch.where(used < self.run[prompt, beam], on_way, free)

    def best(self, keep: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probabilities of the best tokens behind every beam, and these [n, W, k]; where none is on an only way."""
        said_RK, token_RK = self.table.topk(min(keep, self.table.shape[1]), dim=-1)
        return said_RK[self.row], token_RK[self.row]


@dataclass(frozen=True)
class Unread:
    """Tokens of one beam each that the model has not read: a beam's last, and those of the only way from there."""

    tokens: torch.Tensor
    """[n, W, 1 + L]"""
    count: torch.Tensor
    """[n, W] how many of them count; 0 for beams that need none."""
    position: torch.Tensor
    """[n] the place in the text of the first of them."""


class Reader:
    """Reads prompts, then beams, into one cache."""

    def __init__(self, model: Any, cache: Any, pad_token: int) -> None:  # Any: transformers' are not typed
        self.model, self.cache, self.pad_token = model, cache, pad_token
        self.reads_ahead = model.config.model_type in PLAIN_HEADS and model.get_output_embeddings() is not None
        """Whether scores are the head's product alone: others' are made of whole vocabularies for every token read."""
        self.precision = torch.promote_types(model.dtype, torch.float32)

    def read_prompts(self, prompts: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probabilities [n, V] of the token behind every prompt, and which slots are the prompt's own [n, T]."""
        device = next(self.model.parameters()).device
        T = max(map(len, prompts))
        input_ids = torch.full((len(prompts), T), self.pad_token, dtype=torch.long)
        seen = torch.zeros((len(prompts), T), dtype=torch.long)
        for row, prompt in enumerate(prompts):
            input_ids[row, T - len(prompt) :] = torch.tensor(prompt)
            seen[row, T - len(prompt) :] = 1
        input_ids, seen = input_ids.to(device), seen.to(device)
        logits = self.model(
            input_ids=input_ids,
            attention_mask=seen,
            position_ids=(seen.cumsum(1) - 1).clamp(min=0),
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits
        return torch.log_softmax(logits[:, 0].to(self.precision), dim=-1), seen.bool()

    def read(self, unread: Unread, visible: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Read the tokens of all beams of all prompts in one pass, side by side in each prompt's row.

        Args:
            visible: [n, W, slots] what each beam sees of the cache.

        Returns:
            Log-probabilities [N, V] behind the last token of the N beams that have any, those of the only ways' tokens
            [n, W, L], and what each beam sees now [n, W, slots + S].
        """
        count, device = unread.count, unread.count.device
        start = count.cumsum(1) - count
        n, S = len(count), int(count.sum(1).max())
        prompt, beam, step = torch.nonzero(
            torch.arange(unread.tokens.shape[2], device=device) < count[:, :, None], as_tuple=True
        )
        place = start[prompt, beam] + step
        column = torch.arange(S, device=device)
        input_ids = torch.full((n, S), self.pad_token, device=device)
        input_ids[prompt, place] = unread.tokens[prompt, beam, step]
        position = torch.zeros((n, S), dtype=torch.long, device=device)
        position[prompt, place] = unread.position[prompt] + step
        own = torch.eye(S, dtype=torch.bool, device=device).repeat(n, 1, 1)  # places without a token see themselves
        own[prompt, place] = (column >= start[prompt, beam, None]) & (column <= place[:, None])
        before = torch.zeros((n, S, visible.shape[2]), dtype=torch.bool, device=device)
        before[prompt, place] = visible[prompt, beam]

        goes_on = step + 1 < count[prompt, beam]
        said, ends = self._say(
            {
                "input_ids": input_ids,
                "attention_mask": _additive(torch.cat([before, own], dim=2), self.model.dtype),
                "position_ids": position,
                "past_key_values": self.cache,
                "use_cache": True,
            },
            (prompt[goes_on], place[goes_on]),
            unread.tokens[prompt[goes_on], beam[goes_on], step[goes_on] + 1],
            (prompt[~goes_on], place[~goes_on]),
        )
        forced = said.new_zeros((*count.shape, unread.tokens.shape[2] - 1))
        forced[prompt[goes_on], beam[goes_on], step[goes_on]] = said
        new = (column >= start[:, :, None]) & (column < (start + count)[:, :, None])
        return ends, forced, torch.cat([visible, new], dim=2)

    def _say(
        self, inputs: dict[str, Any], at: tuple[torch.Tensor, ...], token: torch.Tensor, last: tuple[torch.Tensor, ...]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Log p [N] of tokens behind the places `at`, and of all tokens [M, V] behind the places `last`."""
        if self.reads_ahead:
            head = self.model.get_output_embeddings()
            hidden = self.model.base_model(**inputs).last_hidden_state
            said, ends = token_log_probabilities(head, hidden[at], token, self.precision), head(hidden[last])
        else:
            ends = self.model(**inputs).logits[last]
            said = ends.new_zeros(0, dtype=self.precision)
        return said, torch.log_softmax(ends.to(self.precision), dim=-1)


def _additive(visible: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """[batch, W, slots] booleans as the [batch, 1, W, slots] numbers that every attention back end adds."""
    hidden = torch.finfo(dtype).min
    return torch.zeros(visible.shape, dtype=dtype, device=visible.device).masked_fill(~visible, hidden)[:, None]
