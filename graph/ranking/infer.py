"""Ask a trained graph model about any history: user vectors and a ranking of the asked domain."""

import dataclasses
import functools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from evaluation.ranked_lists import RankedLists, top_k
from graph.batches import Batch
from graph.clock import NOW
from graph.companions.kept import CompanionPlace
from graph.config import GraphConfig
from graph.load import Prepared, load_trained
from graph.ranker import GraphRanker
from graph.ranking.full_ranking import Judge, numbered
from graph.ranking.parts import system_scores
from launch.distributed import World
from launch.state.kept import NOTHING_KEPT, KeptArrays
from pairs.tables import Ints, Samples


@dataclass(frozen=True)
class Answer:
    """What the model says of one history."""

    items: Ints
    """[K] the domain's items outside the history, best first."""
    scores: npt.NDArray[np.float32]
    """[K]"""
    vector: npt.NDArray[np.float32]
    """[width] the user's vector towards the domain."""


class TrainedGraph:
    """The model of a finished run; histories are item ids, oldest first, of both domains."""

    def __init__(self, prepared: Prepared, settings: GraphConfig, ranker: GraphRanker, world: World) -> None:
        self.pair = prepared.pair
        self._prepared = prepared
        self._graphs = prepared.graphs
        self._settings = settings
        self._ranker = ranker
        self._world = world
        self._scores = Judge(ranker, prepared.graphs, settings, world).whole()
        with torch.no_grad():
            self._tables = ranker.propagate(prepared.graphs)

    @classmethod
    def open(cls, run_dir: Path, world: World, *, kept: KeptArrays = NOTHING_KEPT) -> "TrainedGraph":
        """Load it; on every rank its own copy. `kept` is what the run keeps for that."""
        return cls(*load_trained(run_dir, world, kept=kept), world)

    @torch.no_grad()
    def ask(self, history: list[int], domain: int, *, depth: int) -> Answer:
        """Rank the domain's items for one history, which may be empty or lack a domain."""
        pad = self._graphs.num_items
        recent = history[-self._settings.model.max_history :]
        padded = [pad] * (self._settings.model.max_history - len(recent)) + recent
        history_1L = torch.tensor([padded], dtype=torch.int64, device=self._world.device)
        nobody_1 = torch.zeros(1, dtype=torch.int64, device=self._world.device)
        batch = Batch(nobody_1, nobody_1, nobody_1 + domain, nobody_1, history_1L, nobody_1 + NOW)
        vector_1K = self._ranker.user_vectors(self._graphs, self._tables, batch, drop_edges=False)[domain]
        scores, ids = numbered(self._scores(batch, domain), self._graphs.ids(domain))
        scores = np.where(np.isin(ids, history), np.float32(-np.inf), scores)
        items, best = top_k(scores, depth, ids)
        allowed = best[0] > -np.inf
        return Answer(items[0][allowed], best[0][allowed], vector_1K[0].cpu().numpy())

    def knowing(self, known: Samples, *, kept: KeptArrays = NOTHING_KEPT) -> "TrainedGraph":
        """The same weights over the graphs of other samples; `kept` is what the run keeps of those."""
        graphs_of = functools.partial(self._prepared.source.graphs_of, known, kept=kept, name="known")
        try:
            place = None if kept.folder is None else CompanionPlace(kept.folder / "companions", self._world)
            graphs = graphs_of(place=place).to(self._world.device)
        except OSError:  # a folder that cannot be written: counted for this process alone
            graphs = graphs_of(place=None).to(self._world.device)
        prepared = dataclasses.replace(self._prepared, graphs=graphs)
        return TrainedGraph(prepared, self._settings, self._ranker, self._world)

    @torch.no_grad()
    def rank(self, samples: Samples, *, systems: Iterable[str] = ("graph",), depth: int) -> dict[str, RankedLists]:
        """Lists of any samples, each of its own target domain, by system, as the stage exports them."""
        judge, names = Judge(self._ranker, self._graphs, self._settings, self._world), tuple(systems)
        if names == ("graph",):  # nothing is asked of its parts
            return {"graph": judge.lists(samples, depth)}
        return judge.lists_of(samples, depth, system_scores(judge, names), names)
