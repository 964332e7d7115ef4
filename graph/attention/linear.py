"""A linear layer whose product may be of half precision while it learns."""

import torch
from torch import Tensor, nn


class Linear(nn.Linear):
    """`nn.Linear` in float32; while it learns inputs and weights may be rounded to `precision`, and what comes out."""

    def __init__(self, width: int, *, bias: bool = True, precision: torch.dtype = torch.float32) -> None:
        super().__init__(width, width, bias=bias)
        self.precision = precision

    def forward(self, x_TK: Tensor) -> Tensor:
        """[T, K] to [T, K]."""
        if not self.training or self.precision == torch.float32:
            return super().forward(x_TK)
        bias_K = None if self.bias is None else self.bias.to(self.precision)
        product_TK = nn.functional.linear(x_TK.to(self.precision), self.weight.to(self.precision), bias_K)
        return product_TK.to(x_TK.dtype)
