"""An index of one rank's keys, as configured."""

import numpy as np
import torch

from retrieval.fixed_point import Floats
from retrieval.indexes.engines import Backend, search_for
from retrieval.indexes.flat import FlatIndex
from retrieval.indexes.key_blocks import KeyBlocks, store_keys, time_blocks
from retrieval.indexes.topk import Ints, TopKIndex


def build_index(
    kind: Backend, keys: Floats, ids: Ints, *, times: Ints | None = None, device: torch.device
) -> TopKIndex[Floats]:
    """An index of the configured kind over keys [N, d] with increasing ids [N] and, where only the past is asked for,
    times [N]."""
    assert bool((np.diff(ids) > 0).all()), "ids must increase"
    order, offsets = time_blocks(len(keys), times, width=keys.shape[1], whole=True)
    stored = store_keys(lambda places: keys[places], order, width=keys.shape[1], storage="float32", path=None)
    blocks = KeyBlocks(stored, ids[order], offsets, times=None if times is None else times[order])
    return FlatIndex(blocks.open(search_for(kind, device), device))
