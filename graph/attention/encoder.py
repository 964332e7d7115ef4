"""Causal self-attention over a history (SASRec, Kang and McAuley 2018), with positions that may be masked out.

Only real positions are worked on: T of them in B histories of L places, in order of rows and places. They lie one
after the other, and are set out as rows for the attention alone (graph/attention/places.py).
"""

import math

import torch
from torch import Tensor, nn

from graph.attention.linear import Linear
from graph.attention.places import Places, Positions
from graph.noise import Noise


class Encoder(nn.Module):
    """x_BLK + position -> `blocks` times [attention, feed-forward] -> H_BLK.

    One block: q = LN(x); x = q + Attention(q, x, x); x = LN(x); x = x + W2 relu(W1 x). One head. A position sees itself
    and earlier positions that are not masked; a masked one is zero on the way in and out, so it influences no other.
    """

    def __init__(
        self,
        width: int,
        *,
        max_history: int,
        blocks: int,
        dropout: float,
        precision: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.position_LK = nn.Parameter(torch.empty(max_history, width))
        self.blocks = nn.ModuleList([_Block(width, dropout, precision) for _ in range(blocks)])
        self.last_norm = nn.LayerNorm(width, eps=1e-8)
        nn.init.normal_(self.position_LK, std=0.02)

    def start_as_mean(self) -> None:
        """Begin by adding the mean of what is seen to each item, so that states live in the items' space."""
        for block in self.blocks:
            assert isinstance(block, _Block)
            for linear in (block.value, block.out):
                nn.init.eye_(linear.weight)
                nn.init.zeros_(linear.bias)
            for linear in (block.query, block.key):
                nn.init.normal_(linear.weight, std=0.02)
            nn.init.zeros_(block.query.bias)
            nn.init.zeros_(block.outer.weight)
            nn.init.zeros_(block.outer.bias)

    def forward(self, x_TK: Tensor, real_BL: Tensor, noise: Noise | None, asked_BL: Tensor | None = None) -> Tensor:
        """States [B, L, K] of the real positions' items, zero at the others.

        Args:
            asked_BL: the positions whose states will be read, if not all; others of them are zero too. The last block
                lets them be looked at, and works out nothing else of them.
        """
        places = Places.of(real_BL)
        x_TK = x_TK + nn.functional.embedding(places.all.place, self.position_LK[-real_BL.shape[1] :])
        x_TK = places.drop(x_TK, places.all, self.dropout, noise)
        *earlier, last = self.blocks
        for block in earlier:
            x_TK = block(x_TK, places, None, noise)
        asked_A = None if asked_BL is None else places.those(asked_BL)
        x_AK = self.last_norm(last(x_TK, places, asked_A, noise))
        return places.states(x_AK, places.all if asked_A is None else places.all.take(asked_A))


class _Block(nn.Module):
    def __init__(self, width: int, dropout: float, precision: torch.dtype) -> None:
        super().__init__()
        self.dropout = dropout
        self.query_norm = nn.LayerNorm(width, eps=1e-8)
        self.query, self.value, self.out = (Linear(width, precision=precision) for _ in range(3))
        # a bias of the keys would shift a row's logits alike: no effect, only noise
        self.key = Linear(width, bias=False, precision=precision)
        self.norm = nn.LayerNorm(width, eps=1e-8)
        self.inner, self.outer = (Linear(width, precision=precision) for _ in range(2))

    def forward(self, x_TK: Tensor, places: Places, asked_A: Tensor | None, noise: Noise | None) -> Tensor:
        at = places.all if asked_A is None else places.all.take(asked_A)
        q_AK: Tensor = self.query_norm(x_TK if asked_A is None else x_TK.index_select(0, asked_A))
        seen_AK = self._attend(q_AK, at, x_TK, places, noise)
        x_AK = self.norm(q_AK + self.out(seen_AK))
        inner_AK = places.drop(torch.relu(self.inner(x_AK)), at, self.dropout, noise)
        fed_AK: Tensor = x_AK + places.drop(self.outer(inner_AK), at, self.dropout, noise)
        return fed_AK

    def _attend(self, q_AK: Tensor, at: Positions, x_TK: Tensor, places: Places, noise: Noise | None) -> Tensor:
        """What the positions `at` see of their rows' earlier ones [A, K]."""
        query_AK, key_TK, value_TK = self.query(q_AK), self.key(x_TK), self.value(x_TK)
        if not places.groups:
            if noise is not None:
                places.drop_weights([], self.dropout, noise)  # the numbers that follow are the same on every rank
            none_AK: Tensor = query_AK + key_TK + value_TK
            return none_AK  # but each with its gradient
        weights = []
        set_out = (
            places.set_out(query_AK, at),
            places.set_out(key_TK, places.all),
            places.set_out(value_TK, places.all),
        )
        for query_GMK, key_GMK in zip(set_out[0], set_out[1], strict=True):
            size = query_GMK.shape[1]
            later_MM = torch.ones(size, size, dtype=torch.bool, device=x_TK.device).triu(1)
            dots_GMM = query_GMK @ key_GMK.transpose(1, 2) / math.sqrt(x_TK.shape[1])
            weights.append(dots_GMM.masked_fill(later_MM, -torch.inf).softmax(dim=2))
        if noise is not None:
            weights = places.drop_weights(weights, self.dropout, noise)
        seen = [weights_GMM @ value_GMK for weights_GMM, value_GMK in zip(weights, set_out[2], strict=True)]
        return torch.cat([seen_GMK.flatten(0, 1) for seen_GMK in seen]).index_select(0, at.slot)


def last_real(states_BLK: Tensor, real_BL: Tensor) -> Tensor:
    """The state at each row's last real position [B, K]; zeros for a row that has none."""
    length = real_BL.shape[1]
    place_BL = torch.arange(1, length + 1, device=real_BL.device) * real_BL
    last_B = place_BL.amax(dim=1) - 1 if length else torch.full((len(real_BL),), -1, device=real_BL.device)
    picked_BK = states_BLK[torch.arange(len(states_BLK), device=last_B.device), last_B.clamp_min(0)]
    return picked_BK * (last_B >= 0)[:, None].to(picked_BK.dtype)


def masked_mean(states_BLK: Tensor, chosen_BL: Tensor) -> Tensor:
    """The mean state over the chosen positions [B, K]; zeros for a row that has none."""
    weight_BL = chosen_BL.to(states_BLK.dtype)
    count_B1 = weight_BL.sum(dim=1, keepdim=True).clamp_min(1.0)
    return (states_BLK * weight_BL[:, :, None]).sum(dim=1) / count_B1
