"""Ask a finished run for the kindred users of a history that it has never seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from evaluation.ranked_lists import RankedLists
from launch.artifacts import read_json
from launch.distributed import ALONE
from launch.errors import InputError
from launch.state.kept import NOTHING_KEPT, KeptArrays
from pairs.known import load_kindred
from pairs.tables import NEW_USER, Ints, load_pair, one_sample
from retrieval.fixed_point import Floats
from retrieval.indexes.config import IndexConfig
from retrieval.indexes.sharded import ShardedIndex
from retrieval.keys import run_keys
from retrieval.kindred import Asking, alone, find_kindred
from retrieval.posterior.expected import ExpectedItems, expect
from retrieval.posterior.find import Holders, filled_up
from retrieval.posterior.holders import HoldersIndex, item_sets, latest_items
from retrieval.vector_indexes import open_index, vector_keys
from retrieval.vectors import BagPart, combine, open_vectors
from retrieval.ways import Score


@dataclass(frozen=True)
class KindredUser:
    """A user of train, or of one domain, near to the one who asks."""

    sample: int
    user: int
    score: float
    items: list[int]
    """The user's history, oldest first."""
    titles: list[str]


class KindredLookup:
    """Who may be kindred in a run (`known`), ready to be searched on one machine."""

    def __init__(self, run_dir: Path, *, device: torch.device | None = None, kept: KeptArrays = NOTHING_KEPT) -> None:
        """`kept` is what the run keeps of its indexes."""
        meta = read_json(run_dir / "neighbours" / "meta.json")
        self._items = load_pair(run_dir).items
        self.known = load_kindred(run_dir)
        self._keys = run_keys(run_dir, self.known)
        self._vectors = open_vectors(run_dir, meta["part_weights"])
        self._index_config = IndexConfig(**meta.get("index", {"kind": "exact"}))
        self._vector_keys = vector_keys(self._vectors, self.known, self._keys, longest=meta["longest_key"])
        self._run_dir, self._kept = run_dir, kept
        self._device = device or torch.device("cpu")
        self._indexes: dict[int, ShardedIndex[Floats]] = {}
        self._score: Score = meta["score"]
        self._coverage: bool = meta["coverage"]
        self._recent_items: int | None = meta["recent_items"]
        self._most_holders: int | None = meta["most_holders"]
        self._holders: Holders | None = None

    @property
    def needs_model_vector(self) -> bool:
        """Whether `nearest` must be given the graph model's vector of the history."""
        return "model" in self._vectors.weights

    @property
    def needs_expected(self) -> bool:
        """Whether `nearest` must be given what the graph model's evidence expects after the history."""
        return self._score == "posterior"

    def nearest(
        self,
        history: Sequence[int],
        *,
        domain: int,
        model_vector: Floats | None = None,
        expected: RankedLists | None = None,
        k: int = 1,
    ) -> list[KindredUser]:
        """The k users nearest to a history towards `domain`, as the run's tables have them.

        Args:
            history: item ids, oldest first.
            model_vector: [d] of the graph model, where the run compares by it.
            expected: the evidence's list for it, where the run goes by what is expected.
        """
        if not history:
            raise InputError("kindred users need a history of at least one item")
        user = np.array([NEW_USER])
        asking = alone(self._query(history, model_vector), user)
        scores, positions = find_kindred(self._index(domain), asking, k, keys=self._keys)
        if self.needs_expected:
            assert expected is not None, "this run finds users by what is expected: pass the evidence's list"
            queries = expect(expected, one_sample(history))
            scores, positions = self._by_expectation(alone(queries, user), positions, k)
        rows = self._keys.row[positions[0][positions[0] >= 0]]
        return [self._describe(int(row), float(score)) for row, score in zip(rows, scores[0], strict=False)]

    def _by_expectation(self, asking: Asking[ExpectedItems], nearest: Ints, k: int) -> tuple[Floats, Ints]:
        if self._holders is None:
            counted = latest_items(self.known, self._recent_items)
            histories = item_sets(counted, self._keys.row, num_items=self._items.num_items)
            index = HoldersIndex(histories, np.arange(len(self._keys)))
            self._holders = Holders(
                ShardedIndex(ALONE, index),
                counted,
                self._keys,
                np.diff(histories.indptr).astype(np.int64),
                np.bincount(histories.indices, minlength=self._items.num_items),
                self._most_holders,
            )
        scores, positions = self._holders.find(asking, k, coverage=self._coverage)
        return filled_up(scores, positions, nearest, asking, keys=self._keys)

    def _query(self, history: Sequence[int], model_vector: Floats | None) -> Floats:
        parts: dict[str, Floats] = {}
        for name, part in self._vectors.parts.items():
            if isinstance(part, BagPart):
                parts[name] = part.of_histories(one_sample(history), np.zeros(1, dtype=np.int64))
            else:
                assert model_vector is not None, "this run compares users by the graph model's vectors: pass one"
                parts[name] = np.asarray(model_vector, dtype=np.float32)[None, :]
        return combine(parts, self._vectors.weights)

    def _index(self, domain: int) -> ShardedIndex[Floats]:
        if not self._vector_keys.knows_domains:
            domain = 0
        if domain not in self._indexes:
            self._indexes[domain] = open_index(
                self._run_dir, self._index_config, self._vector_keys, domain, times=None, world=ALONE,
                device=self._device, kept=self._kept,
            )  # fmt: skip
        return self._indexes[domain]

    def _describe(self, row: int, score: float) -> KindredUser:
        items = [int(item) for item in self.known.history_of(row)]
        return KindredUser(
            sample=int(self.known.sample[row]),
            user=int(self.known.user[row]),
            score=score,
            items=items,
            titles=[self._items.titles[item] for item in items],
        )
