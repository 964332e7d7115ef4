"""TF-IDF of titles and attributes, for all that compares items by their words: one tokenisation, two vocabularies.

A word is a run of letters and digits. The text baseline keeps every word of two or more characters, as scikit-learn
does by itself; the graph and the kindred search leave out English stop words and words of a single text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from pairs.tables import Items

Vectors: TypeAlias = "sp.csr_matrix[Any]"  # Any: float32 or float64


@dataclass(frozen=True)
class Vocabulary:
    """Which words count."""

    shortest: int = 1
    """Characters of a word, at least."""
    stop_words: bool = False
    """Whether English stop words count."""
    least_texts: int = 2
    """Texts that a word must be in."""


EVERY_WORD = Vocabulary(shortest=2, stop_words=True, least_texts=1)
"""The text baseline's."""
TELLING_WORDS = Vocabulary()
"""The graph's and the kindred search's."""


class Words:
    """The words of some texts and their inverse frequencies; `fitted` are those texts' own vectors [T, W].

    (A row's words lie in another order there than in `vectors`, and sums of floats depend on the order.)
    """

    def __init__(self, texts: Sequence[str], vocabulary: Vocabulary, *, dtype: npt.DTypeLike = np.float32) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer  # a second that only those who fit need to wait

        self._dtype = dtype
        self._vectorizer = TfidfVectorizer(
            token_pattern=rf"[^\W_]{{{vocabulary.shortest},}}",
            stop_words=None if vocabulary.stop_words else "english",
            min_df=vocabulary.least_texts,
            sublinear_tf=True,
            dtype=dtype,
        )
        try:
            self.fitted: Vectors = sp.csr_matrix(self._vectorizer.fit_transform(texts))
        except ValueError:  # scikit-learn's "empty vocabulary" and "no terms remain"
            self.fitted = self._no_words(len(texts))

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """[T, W] rows of length one, or zero where a text has none of the words."""
        if self.num_words == 0:
            return self._no_words(len(texts))
        return sp.csr_matrix(self._vectorizer.transform(texts))

    @property
    def num_words(self) -> int:
        """Words of the vocabulary, W."""
        return int(self.fitted.shape[1])

    def _no_words(self, num_texts: int) -> Vectors:
        return sp.csr_matrix(np.zeros((num_texts, 0), dtype=self._dtype))


def item_texts(items: Items) -> list[str]:
    """Title and attributes of every item."""
    return [f"{title} {words}" for title, words in zip(items.titles, items.attributes, strict=True)]
