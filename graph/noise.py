"""Random numbers that belong to a sample, not to a rank: dropout, corruption and perturbation by hash.

Every number is a pure function of (seed, step, place in the network, sample, element). So one rank and N draw the
same, and a resumed run needs no generator state.
"""

import torch
from torch import Tensor

_GOLDEN = -7046029254386353131  # 2^64 / golden ratio, as a signed 64-bit number
_MIX_1, _MIX_2 = -4658895280553007687, -7723592293110705685  # splitmix64's multipliers, signed
_ODD = -1640531535  # Knuth's multiplicative hash, signed 32-bit


class Noise:
    """What one step draws for the samples of this rank; call in the same order on all ranks."""

    def __init__(self, seed: int, step: int, sample_B: Tensor) -> None:
        self._sample_B = sample_B
        self._base = (seed * 1_000_003 + step) & 0x7FFFFFFF
        self._place = 0

    def dropout(self, x: Tensor, p: float) -> Tensor:
        """`x` [B, ...] with each element zero with probability p, the others scaled by 1 / (1 - p)."""
        if p == 0:
            return x
        return x * self._keep(self._sample_B, x, p)

    def table_dropout(self, table_IK: Tensor, p: float) -> Tensor:
        """The same for a table of items, whose rows are the same on every rank."""
        if p == 0:
            return table_IK
        row_I = torch.arange(len(table_IK), device=table_IK.device)
        return table_IK * self._keep(row_I, table_IK, p)

    def table_uniform(self, size: int) -> Tensor:
        """Numbers in [0, 1) [size], the same on every rank."""
        row_I = torch.arange(size, device=self._sample_B.device)
        return (self._bits(row_I, torch.Size([1]))[:, 0].double() + 2.0**31) / 2.0**32

    def uniform(self, shape: torch.Size) -> Tensor:
        """Numbers in [0, 1) of a shape that begins with this rank's samples."""
        return (self._bits(self._sample_B, shape[1:]).double() + 2.0**31) / 2.0**32

    def _keep(self, key_B: Tensor, x: Tensor, p: float) -> Tensor:
        """What dropout multiplies `x` with."""
        kept = self._bits(key_B, x.shape[1:]) >= int(p * 2**32) - 2**31  # below it are a share p of the signed numbers
        return kept.to(x.dtype).mul_(1 / (1 - p))

    def _bits(self, key_B: Tensor, shape: torch.Size) -> Tensor:
        """32 random bits an element [B, *shape] of int32: a hash of the row, mixed with a hash of the element."""
        self._place += 1
        salt = self._base * 4099 + self._place
        size = shape.numel()
        rows_B = _mix(key_B + _signed(salt * 0x632BE59BD9B4E019))
        cells_S = _mix(torch.arange(size, device=key_B.device) + _signed(salt * 0x9E6C63D0876A68DE))
        bits_BS = (rows_B.to(torch.int32)[:, None] ^ cells_S.to(torch.int32)[None, :]).mul_(_ODD)
        bits_BS = bits_BS.bitwise_xor_(bits_BS >> 15).mul_(_ODD)
        return bits_BS.view(len(key_B), *shape)


def _mix(values: Tensor) -> Tensor:
    """A hash in the manner of splitmix64 (its multipliers; shifts keep the sign); the low half is what is used."""
    z = values.long() * _GOLDEN
    z = (z ^ (z >> 30)) * _MIX_1
    z = (z ^ (z >> 27)) * _MIX_2
    return (z ^ (z >> 31)) & 0x7FFFFFFFFFFFFFFF


def _signed(value: int) -> int:
    """The low 64 bits as a signed number."""
    low = value & 0xFFFFFFFFFFFFFFFF
    return low - (1 << 64) if low >> 63 else low
