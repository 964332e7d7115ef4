"""Causal self-attention over a history (SASRec, Kang and McAuley 2018), with positions that may be masked out.

Only real positions are worked on: T of them in B histories of L places, in order of rows and places. They lie one
after the other, and are set out as [B, L] for the attention alone.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from graph.noise import Noise


@dataclass(frozen=True)
class Places:
    """Where the real positions are."""

    real: Tensor  # [B, L]
    row: Tensor  # [T]
    place: Tensor  # [T]

    @classmethod
    def of(cls, real_BL: Tensor) -> "Places":
        """Those that are true."""
        return cls(real_BL, *torch.nonzero(real_BL, as_tuple=True))

    def spread(self, x_TK: Tensor) -> Tensor:
        """[B, L, K], zero at the other places."""
        num_rows, length = self.real.shape
        x_XK = x_TK.new_zeros(num_rows * length, x_TK.shape[1]).index_copy(0, self.row * length + self.place, x_TK)
        return x_XK.view(num_rows, length, -1)

    def drop(self, x_TK: Tensor, p: float, noise: Noise | None) -> Tensor:
        """Dropout, as of a whole [B, L, K]."""
        return x_TK if noise is None else noise.dropout_at(x_TK, self.row, self.place, self.real.shape[1], p)


class Encoder(nn.Module):
    """x_BLK + position -> `blocks` times [attention, feed-forward] -> H_BLK.

    One block: q = LN(x); x = q + Attention(q, x, x); x = LN(x); x = x + W2 relu(W1 x). One head. A position sees itself
    and earlier positions that are not masked; a masked one is zero on the way in and out, so it influences no other.
    """

    def __init__(self, width: int, *, max_history: int, blocks: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.position_LK = nn.Parameter(torch.empty(max_history, width))
        self.blocks = nn.ModuleList([_Block(width, dropout) for _ in range(blocks)])
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

    def forward(self, x_TK: Tensor, real_BL: Tensor, noise: Noise | None) -> Tensor:
        """States [B, L, K] of the real positions' items, zero at the others."""
        places, length = Places.of(real_BL), real_BL.shape[1]
        x_TK = x_TK + nn.functional.embedding(places.place, self.position_LK[-length:])
        x_TK = places.drop(x_TK, self.dropout, noise)
        earlier_LL = torch.ones(length, length, dtype=torch.bool, device=x_TK.device).tril()
        itself_LL = torch.eye(length, dtype=torch.bool, device=x_TK.device)
        # A masked position may see itself, so that its softmax is defined; nobody reads what it finds.
        seen_BLL = (earlier_LL & real_BL[:, None, :]) | itself_LL
        for block in self.blocks:
            x_TK = block(x_TK, places, seen_BLL, noise)
        return places.spread(self.last_norm(x_TK))


class _Block(nn.Module):
    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.query_norm = nn.LayerNorm(width, eps=1e-8)
        self.query, self.value, self.out = (nn.Linear(width, width) for _ in range(3))
        self.key = nn.Linear(width, width, bias=False)  # a bias would shift a row's logits alike: no effect, only noise
        self.norm = nn.LayerNorm(width, eps=1e-8)
        self.inner, self.outer = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x_TK: Tensor, places: Places, seen_BLL: Tensor, noise: Noise | None) -> Tensor:
        q_TK = self.query_norm(x_TK)
        query_BLK, key_BLK, value_BLK = map(places.spread, (self.query(q_TK), self.key(x_TK), self.value(x_TK)))
        dots_BLL = query_BLK @ key_BLK.transpose(1, 2) / math.sqrt(x_TK.shape[1])
        weights_BLL = dots_BLL.masked_fill(~seen_BLL, -torch.inf).softmax(dim=2)
        if noise is not None:
            weights_BLL = noise.dropout(weights_BLL, self.dropout)
        x_TK = self.norm(q_TK + self.out((weights_BLL @ value_BLK)[places.row, places.place]))
        inner_TK = places.drop(torch.relu(self.inner(x_TK)), self.dropout, noise)
        fed_TK: Tensor = x_TK + places.drop(self.outer(inner_TK), self.dropout, noise)
        return fed_TK


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
