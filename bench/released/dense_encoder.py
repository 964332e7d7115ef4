"""The encoder as one would write it first: all places are worked on, the masked ones zeroed again and again."""

import math

import torch
from torch import Tensor, nn

from graph.noise import Noise


class DenseEncoder(nn.Module):
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

    def forward(self, x_BLK: Tensor, real_BL: Tensor, noise: Noise | None) -> Tensor:
        """States [B, L, K], zero where `real_BL` is false."""
        length = x_BLK.shape[1]
        real_BL1 = real_BL[:, :, None].to(x_BLK.dtype)
        x_BLK = x_BLK + self.position_LK[-length:]
        if noise is not None:
            x_BLK = noise.dropout(x_BLK, self.dropout)
        x_BLK = x_BLK * real_BL1
        earlier_LL = torch.ones(length, length, dtype=torch.bool, device=x_BLK.device).tril()
        itself_LL = torch.eye(length, dtype=torch.bool, device=x_BLK.device)
        # A masked position may see itself, so that its softmax is defined; it is zeroed afterwards.
        seen_BLL = (earlier_LL & real_BL[:, None, :]) | itself_LL
        for block in self.blocks:
            x_BLK = block(x_BLK, seen_BLL, noise) * real_BL1
        states_BLK: Tensor = self.last_norm(x_BLK) * real_BL1
        return states_BLK


class _Block(nn.Module):
    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.query_norm = nn.LayerNorm(width, eps=1e-8)
        self.query, self.value, self.out = (nn.Linear(width, width) for _ in range(3))
        self.key = nn.Linear(width, width, bias=False)  # a bias would shift a row's logits alike: no effect, only noise
        self.norm = nn.LayerNorm(width, eps=1e-8)
        self.inner, self.outer = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x_BLK: Tensor, seen_BLL: Tensor, noise: Noise | None) -> Tensor:
        def drop(y: Tensor) -> Tensor:
            return y if noise is None else noise.dropout(y, self.dropout)

        q_BLK = self.query_norm(x_BLK)
        dots_BLL = self.query(q_BLK) @ self.key(x_BLK).transpose(1, 2) / math.sqrt(x_BLK.shape[2])
        weights_BLL = drop(dots_BLL.masked_fill(~seen_BLL, -torch.inf).softmax(dim=2))
        x_BLK = self.norm(q_BLK + self.out(weights_BLL @ self.value(x_BLK)))
        fed_BLK: Tensor = x_BLK + drop(self.outer(drop(torch.relu(self.inner(x_BLK)))))
        return fed_BLK
