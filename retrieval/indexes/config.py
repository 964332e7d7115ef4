"""The recipe's `retrieval.index` section, and what `auto` stands for."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

from launch.options.fields import Decides, Means

Kind = Literal["exact", "ivf_flat", "ivf_pq", "hnsw"]
Backend = Literal["faiss", "torch"]
Storage = Literal["float32", "float16"]
EXACT_KEYS = 4_000_000
"""Train histories up to which `auto` searches all of them."""
FEWEST_LISTS, MOST_LISTS = 16, 16_384
VISITED_SHARE = 8
"""One list of so many is visited, where nothing else is said."""


@dataclass(frozen=True, kw_only=True)
class IndexConfig:
    """How the train users with the nearest vectors are sought. Of approximate kinds, neighbours/quality.json has the
    recall beside an exact search of a sample; rows that they leave short are answered exactly."""

    kind: Decides[Literal["auto", "exact", "ivf_flat", "ivf_pq", "hnsw"]] = "auto"
    """auto: exact up to 4 million train histories on all ranks together, else ivf_flat. ivf_flat: of the lists of
    like histories the `nprobe` nearest; the same on any number of ranks, as exact is. ivf_pq: the same by codes of
    `pq_bytes`, the best `refine` for each neighbour scored exactly. hnsw: a graph of near histories on every rank.
    What ivf_pq and hnsw find depends on the number of ranks, by a little."""
    backend: Means[Backend] = "faiss"
    """Who multiplies vectors: both find the same. On CPUs with wide vector units torch has been two to four times as
    fast; bench/retrieval.py compares them where you are."""
    storage: Means[Storage] = "float32"
    """Of the vectors. They are rounded such that float16 holds them exactly: half the bytes, the same neighbours."""
    mapped: Means[bool] = False
    """Keep the vectors in a file of each rank that is read in blocks, for more of them than memory holds."""
    nlist: Decides[int | None] = None
    """Lists of ivf_flat and ivf_pq; null: the power of two above the root of the histories' number, 16,384 at most."""
    nprobe: Decides[int | None] = None
    """Lists visited for a sample; null: one of 8. More find more and take longer."""
    pq_bytes: Decides[int] = 64
    """Bytes of a history's code in ivf_pq."""
    refine: Decides[int] = 10
    """Histories that ivf_pq scores exactly, for each neighbour asked for."""
    m: Decides[int] = 32
    """Neighbours of a history in the graph of hnsw."""
    ef: Decides[int] = 64
    """Histories that hnsw keeps in view while it searches; at least as many as are asked for."""

    def __post_init__(self) -> None:
        for name in ("pq_bytes", "refine", "m", "ef", "nlist", "nprobe"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"retrieval.index.{name} must be at least 1, got {value}")
        if self.nlist is not None and self.nprobe is not None and self.nprobe > self.nlist:
            raise ValueError(f"retrieval.index.nprobe must be at most nlist ({self.nlist}), got {self.nprobe}")

    def resolved(self, num_keys: int) -> "IndexConfig":
        """Without `auto` and without null, for so many keys on all ranks together."""
        kind = self.kind
        if kind == "auto":
            kind = "exact" if num_keys <= EXACT_KEYS else "ivf_flat"
        fitting = 1 << math.isqrt(num_keys).bit_length()
        nlist = self.nlist or min(MOST_LISTS, max(FEWEST_LISTS, fitting))
        nlist = max(1, min(nlist, num_keys))
        nprobe = min(nlist, self.nprobe or max(1, nlist // VISITED_SHARE))
        return dataclasses.replace(self, kind=kind, nlist=nlist, nprobe=nprobe)
