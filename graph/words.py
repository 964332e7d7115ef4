"""The items' words: the bipartite item-attribute graph, TF-IDF rows, and text vectors to start tables from."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from evaluation.matrices import csr_arrays, csr_of
from evaluation.tfidf import TELLING_WORDS, Vocabulary, Words, item_texts
from launch.state.kept import Arrays, KeptArrays
from pairs.tables import Items

Floats: TypeAlias = npt.NDArray[np.float32]
Matrix: TypeAlias = "sp.csr_matrix[np.float32]"


@dataclass(frozen=True)
class WordTables:
    """What the words say; rows are items."""

    attributes: Matrix
    """[I, V] ones where an item has an attribute of the attribute graph."""
    tfidf: Matrix
    """[I, W] of titles and attributes together, rows of length one (or zero)."""


def read_words(items: Items) -> WordTables:
    """The words of the catalogue."""
    return WordTables(_attributes(items), Words(item_texts(items), TELLING_WORDS).fitted)


def kept_words(items: Items, kept: KeptArrays) -> WordTables:
    """The same, out of what the run keeps."""

    def make() -> Arrays:
        words = read_words(items)
        return csr_arrays("attributes", words.attributes) | csr_arrays("tfidf", words.tfidf)

    arrays = kept.arrays("graph_words", make)
    return WordTables(csr_of("attributes", arrays), csr_of("tfidf", arrays))


def text_vectors(tfidf: Matrix, dim: int, *, seed: int) -> Floats:
    """Truncated SVD of the TF-IDF rows [I, dim], each of length one (or zero); zeros fill up a small vocabulary.

    Columns are in order of importance, so the first few are a smaller table.
    """
    from sklearn.decomposition import TruncatedSVD  # a second that only those who fit need to wait

    rank = min(dim, min(tfidf.shape) - 1)
    vectors = np.zeros((tfidf.shape[0], dim), dtype=np.float32)
    if rank >= 1:
        vectors[:, :rank] = TruncatedSVD(rank, random_state=seed).fit_transform(tfidf)
    return unit_rows(vectors)


def unit_rows(vectors: Floats) -> Floats:
    """Each row at length one; rows of (nearly) no length become zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Floats = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 1e-6)
    return unit


def _attributes(items: Items) -> Matrix:
    """An attribute is kept when more than one item of X, or more than one of Y, has it.

    Where the catalogue has no attributes, the titles' words without stop words serve.
    """
    has_attributes = any(items.attributes)
    texts = items.attributes if has_attributes else items.titles
    has = Words(texts, Vocabulary(least_texts=1)).fitted
    has.data[:] = 1.0
    x_items = has[: items.num_x].sum(axis=0).A1
    y_items = has[items.num_x :].sum(axis=0).A1
    return sp.csr_matrix(has[:, (x_items > 1) | (y_items > 1)])
