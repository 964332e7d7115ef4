"""Random numbers that belong to a sample, not to a rank: dropout, corruption and perturbation by hash.

Every number is a pure function of (seed, step, place in the network, sample, element). So one rank and N draw the
same, and a resumed run needs no generator state.
"""

import torch
from torch import Tensor

_GOLDEN = -7046029254386353131  # 2^64 / golden ratio, as a signed 64-bit number
_MIX_1, _MIX_2 = -4658895280553007687, -7723592293110705685  # splitmix64's multipliers, signed
_ASIDE = 1024  # places in the network that one noise draws for at most
_ODD = -1640531535  # Knuth's multiplicative hash, signed 32-bit


class Noise:
    """What one step draws for the samples of this rank; call in the same order on all ranks."""

    def __init__(self, seed: int, step: int, sample_B: Tensor) -> None:
        self._sample_B = sample_B
        self._base = (seed * 1_000_003 + step) & 0x7FFFFFFF
        self._place = self._aside = 0

    def keyed(self, key_B: Tensor) -> "Noise":
        """What comes next, of other samples: two with one key have the same numbers."""
        other = Noise(0, 0, key_B)
        other._base, other._place = self._base, self._place
        return other

    def aside(self, key_B: Tensor) -> "Noise":
        """The same with numbers of its own, which this one does not draw, and others at every call."""
        self._aside += 1
        other = self.keyed(key_B)
        other._place = _ASIDE * self._aside
        return other

    def dropout(self, x: Tensor, p: float) -> Tensor:
        """`x` [B, ...] with each element zero with probability p, the others scaled by 1 / (1 - p)."""
        if p == 0:
            return x
        return x * self._keep(self._sample_B, x, p)

    def dropout_at(self, x_TK: Tensor, row_T: Tensor, place_T: Tensor, length: int, p: float) -> Tensor:
        """What `dropout` makes of an x [B, length, K] at some rows and places [T, K]."""
        if p == 0:
            return x_TK
        bits_TK = self._bits_at(row_T, place_T, length, x_TK.shape[1])
        return x_TK * _kept(bits_TK, p, x_TK.dtype)

    def dropout_parts(
        self, parts: list[Tensor], rows: list[Tensor], cells: list[Tensor], size: int, p: float
    ) -> list[Tensor]:
        """What `dropout` makes of an x [B, size] in some parts of it.

        Args:
            parts: of some rows [G, ...] each.
            cells: which of the row's cells each element is, in the part's shape.
        """
        if p == 0:
            return parts
        rows_B, cells_S = self._halves(self._sample_B, size)
        return [
            part * _kept(_mixed(rows_B[row_G].view(-1, *[1] * (part.ndim - 1)) ^ cells_S[cell]), p, part.dtype)
            for part, row_G, cell in zip(parts, rows, cells, strict=True)
        ]

    def table_dropout(self, table_IK: Tensor, p: float, row_I: Tensor | None = None) -> Tensor:
        """The same for a table of items, whose rows are the same on every rank.

        Args:
            row_I: the rows that these are of it, if not all in order.
        """
        if p == 0:
            return table_IK
        row_I = torch.arange(len(table_IK), device=table_IK.device) if row_I is None else row_I
        return table_IK * self._keep(row_I, table_IK, p)

    def table_uniform(self, size: int) -> Tensor:
        """Numbers in [0, 1) [size], the same on every rank."""
        row_I = torch.arange(size, device=self._sample_B.device)
        return (self._bits(row_I, torch.Size([1]))[:, 0].double() + 2.0**31) / 2.0**32

    def uniform(self, shape: torch.Size) -> Tensor:
        """Numbers in [0, 1) of a shape that begins with this rank's samples."""
        return (self._bits(self._sample_B, shape[1:]).double() + 2.0**31) / 2.0**32

    def uniform_at(self, row_T: Tensor, place_T: Tensor, length: int, width: int) -> Tensor:
        """What `uniform` draws for [B, length, width] at some rows and places [T, width]."""
        return (self._bits_at(row_T, place_T, length, width).double() + 2.0**31) / 2.0**32

    def _keep(self, key_B: Tensor, x: Tensor, p: float) -> Tensor:
        """What dropout multiplies `x` with."""
        return _kept(self._bits(key_B, x.shape[1:]), p, x.dtype)

    def _bits(self, key_B: Tensor, shape: torch.Size) -> Tensor:
        """32 random bits an element [B, *shape] of int32: a hash of the row, mixed with a hash of the element."""
        rows_B, cells_S = self._halves(key_B, shape.numel())
        return _mixed(rows_B[:, None] ^ cells_S[None, :]).view(len(key_B), *shape)

    def _bits_at(self, row_T: Tensor, place_T: Tensor, length: int, width: int) -> Tensor:
        """Those of some rows and places of a shape [length, width] [T, width]."""
        rows_B, cells_S = self._halves(self._sample_B, length * width)
        return _mixed(rows_B[row_T, None] ^ cells_S.view(length, width)[place_T])

    def _halves(self, key_B: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """A hash of each row and one of each element, int32."""
        self._place += 1
        salt = self._base * 4099 + self._place
        rows_B = _mix(key_B + _signed(salt * 0x632BE59BD9B4E019))
        cells_S = _mix(torch.arange(size, device=key_B.device) + _signed(salt * 0x9E6C63D0876A68DE))
        return rows_B.to(torch.int32), cells_S.to(torch.int32)


def _mixed(bits: Tensor) -> Tensor:
    """A hash of both, in place."""
    bits = bits.mul_(_ODD)
    return bits.bitwise_xor_(bits >> 15).mul_(_ODD)


def _kept(bits: Tensor, p: float, dtype: torch.dtype) -> Tensor:
    """What dropout multiplies with."""
    kept = bits >= int(p * 2**32) - 2**31  # below it are a share p of the signed numbers
    return kept.to(dtype).mul_(1 / (1 - p))


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
