"""Edges between items, read off the train samples: which item follows which.

A user counts once for an edge: the twin samples of Art-Office (one history, two targets) and the growing histories of
a chronological split do not add up.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from evaluation.matrices import successions
from pairs.tables import Ints, Samples


@dataclass(frozen=True)
class Edges:
    """Directed edges, in order of (source, target), each once."""

    source: Ints  # [E]
    target: Ints  # [E]
    count: Ints  # [E], users that have the edge


def successor_edges(train: Samples, item_domain: npt.NDArray[np.int8], *, within_domain: bool) -> Edges:
    """Edges from an item to the next of the mixed history, or to the next of its own domain."""
    user, source, target = successions(train, item_domain, within_domain=within_domain)
    edges = pl.DataFrame({"user": user, "source": source, "target": target})
    counted = edges.unique().group_by("source", "target").len("count").sort("source", "target")
    return Edges(_ints(counted["source"]), _ints(counted["target"]), _ints(counted["count"]))


def _ints(column: pl.Series) -> Ints:
    return np.array(column.to_numpy(), dtype=np.int64)  # a copy: torch wants it writable
