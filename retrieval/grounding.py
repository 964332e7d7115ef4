"""From generated text to catalogue items: an exact title first, then BM25 over the titles of both domains.

Ties, of which titles that occur twice are the most frequent, go to the item bought more often in train, then to the
lower id. Text without a word that any title has is grounded to no item.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import bm25s
import numpy as np
from bm25s.tokenization import Tokenizer

from launch.errors import InputError
from pairs.tables import Ints, Items
from retrieval.fixed_point import Floats

WORD = re.compile(r"(?u)\b\w+\b")
"""Single letters and digits count, and there are no stop words: sizes and packs are what tells titles apart."""


class Grounded(NamedTuple):
    """Items of each text, best first; item -1, score -inf where there are no more."""

    items: Ints  # [N, k]
    scores: Floats  # [N, k], BM25; an exact title's is lifted above all others'


class TitleGrounder:
    """An index over a catalogue's titles."""

    def __init__(self, items: Items) -> None:
        self._item_at = np.lexsort((np.arange(items.num_items), -items.train_count))  # place -> item: ties go first
        self._domain_at = items.domain[self._item_at]
        titles = [items.titles[item] for item in self._item_at]
        self._tokenizer = Tokenizer(splitter=WORD.findall, stopwords=[])
        tokens = self._tokenizer.tokenize(titles, return_as="ids", allow_empty=False, show_progress=False)
        if not any(tokens):
            raise InputError("no title of the catalogue has a word; text cannot be grounded")
        self._index = bm25s.BM25()
        self._index.index((tokens, self._tokenizer.get_vocab_dict()), create_empty_token=False, show_progress=False)
        self._scores = np.zeros(items.num_items, dtype=np.float32)
        """0 between one text and the next."""
        self._places_of_title: dict[str, list[int]] = defaultdict(list)
        for place, title in enumerate(titles):
            self._places_of_title[in_words(title)].append(place)
        self._places_of_title.pop("", None)

    def ground(self, texts: Sequence[str], k: int, *, domain: int | None = None) -> Grounded:
        """The k items with the nearest titles, of both domains or of one, for each text; equal texts only once."""
        different = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        tokens = self._tokenizer.tokenize(
            list(different), update_vocab="never", return_as="ids", allow_empty=False, show_progress=False
        )
        items = np.full((len(different), k), -1, dtype=np.int64)
        scores = np.full((len(different), k), -np.inf, dtype=np.float32)
        for text, row in different.items():
            if tokens[row]:
                places, likeness = self._nearest(text, tokens[row], k, domain=domain)
                items[row, : len(places)], scores[row, : len(places)] = self._item_at[places], likeness
        rows = np.array([different[text] for text in texts], dtype=np.int64)
        return Grounded(items[rows], scores[rows])

    def _nearest(self, text: str, tokens: list[int], k: int, *, domain: int | None) -> tuple[Ints, Floats]:
        """Scores only titles that share a word with the text: the catalogue's size does not matter."""
        told, starts = self._index.scores, self._index.scores["indptr"]
        spans = [slice(int(starts[word]), int(starts[word + 1])) for word in tokens]
        for span in spans:
            self._scores[told["indices"][span]] += told["data"][span]
        places = np.concatenate([told["indices"][span] for span in spans])
        exact = self._places_of_title.get(in_words(text))
        if exact:  # they share all words, so they are among the places
            self._scores[exact] = np.nextafter(self._scores[places].max(), np.float32(np.inf))
        inside = places if domain is None else places[self._domain_at[places] == domain]
        best = first_places(self._scores, inside, k, most_times=len(spans))
        likeness = self._scores[best].copy()
        self._scores[places] = 0
        return best, likeness


def in_words(text: str) -> str:
    """A title as the words that are compared: lower case, without punctuation."""
    return " ".join(WORD.findall(text.lower()))


def first_places(scores: Floats, places: Ints, k: int, *, most_times: int) -> Ints:
    """Of some places, the k with the largest scores above 0, best first, ties by lower place.

    Args:
        most_times: how often a place may be named.
    """
    values = scores[places]
    if len(values) > k * most_times:
        places = places[values >= np.partition(values, len(values) - k * most_times)[len(values) - k * most_times]]
    places = np.unique(places)
    places = places[scores[places] > 0]
    return np.asarray(places[np.argsort(-scores[places], kind="stable")[:k]], dtype=np.int64)
