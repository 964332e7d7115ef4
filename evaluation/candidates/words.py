"""What words say of each sample's own candidates: nothing is asked of the candidates of others.

B samples, P candidates of a sample, V words.
"""

import numpy as np
import scipy.sparse as sp

from evaluation.matrices import Floats, Sparse
from pairs.ragged import offsets_of, rows_of
from pairs.tables import Ints


def likeness_at(queries_BV: Sparse, vectors_IV: Sparse, items_BP: Ints) -> Floats:
    """[B, P] the words that a sample asks with times those of each of its candidates."""
    scores_BP = np.zeros(items_BP.shape, dtype=np.float32)
    weight_V = np.zeros(vectors_IV.shape[1], dtype=np.float32)
    for row, item_P in enumerate(items_BP):
        span = slice(queries_BV.indptr[row], queries_BV.indptr[row + 1])
        weight_V[queries_BV.indices[span]] = queries_BV.data[span]
        texts = sp.csr_matrix(vectors_IV[item_P])
        products = weight_V[texts.indices] * texts.data
        scores_BP[row] = np.bincount(rows_of(np.diff(texts.indptr)), weights=products, minlength=len(item_P))
        weight_V[queries_BV.indices[span]] = 0
    return scores_BP


def squares_at(queries_BI: Sparse, vectors_IV: Sparse, items_BP: Ints) -> Floats:
    """[B, P] the squared likeness of each of a sample's items to each of its candidates, weighted and summed."""
    scores_BP = np.zeros(items_BP.shape, dtype=np.float32)
    place_V = np.full(vectors_IV.shape[1], -1, dtype=np.int32)
    for row, item_P in enumerate(items_BP):
        span = slice(queries_BI.indptr[row], queries_BI.indptr[row + 1])
        held = sp.csr_matrix(vectors_IV[queries_BI.indices[span]])
        words_U = np.unique(held.indices)
        place_V[words_U] = np.arange(len(words_U))
        held_UH = np.zeros((len(words_U), held.shape[0]), dtype=np.float32)
        held_UH[place_V[held.indices], rows_of(np.diff(held.indptr))] = held.data
        likeness_PH = _columns(sp.csr_matrix(vectors_IV[item_P]), place_V, len(words_U)) @ held_UH
        scores_BP[row] = np.einsum("ph,ph,h->p", likeness_PH, likeness_PH, queries_BI.data[span])
        place_V[words_U] = -1
    return scores_BP


def _columns(texts_PV: Sparse, place_V: "np.typing.NDArray[np.int32]", width: int) -> Sparse:
    """[P, U] some columns of a matrix, each at its place; those at -1 are left out."""
    place = place_V[texts_PV.indices]
    kept = place >= 0
    row = rows_of(np.diff(texts_PV.indptr))[kept]
    starts = offsets_of(np.bincount(row, minlength=texts_PV.shape[0]))
    return sp.csr_matrix((texts_PV.data[kept], place[kept], starts), shape=(texts_PV.shape[0], width))
