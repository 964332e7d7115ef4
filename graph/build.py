"""Build what a model propagates over and draws evidence from, out of the train samples and the catalogue."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor
from torch_geometric import EdgeIndex

from graph.clock import clocks_of
from graph.companions.kept import CompanionTables, own_companions
from graph.companions.rules import CompanionRules
from graph.config import GraphConfig
from graph.edges import Edges, successor_edges
from graph.evidence import EvidenceGraph, EvidenceTerms
from graph.item_graph import ItemGraph, as_edge_index, build_item_graph
from graph.late.interaction import VoteGraph
from graph.late.left_out import LeftOut
from graph.sampled.negatives import Negatives
from graph.words import Floats, Matrix, WordTables
from pairs.ragged import rows_of
from pairs.tables import Items, Samples


@dataclass(frozen=True)
class AttributeGraph:
    """The bipartite graph of items and attributes, rows summing to 1; nodes are the items, then the attributes."""

    adjacency: EdgeIndex
    weight: Tensor  # [E]

    def neighbour_mean(self, table_NK: Tensor) -> Tensor:
        """Each node's neighbours' rows, averaged; zeros where there are none."""
        mean_NK: Tensor = self.adjacency.matmul(table_NK, self.weight)
        return mean_NK


@dataclass(frozen=True)
class Graphs:
    """Everything that is not a parameter, made of train samples or, where more may be known, of others beside them."""

    mixed: ItemGraph
    """Item to the next one of the history."""
    within: ItemGraph
    """Item to the next one of its own domain; X and Y are two components of it."""
    attributes: AttributeGraph
    num_items: int
    num_x: int
    num_attributes: int
    evidence: tuple[EvidenceGraph, EvidenceGraph] | None
    votes: tuple[VoteGraph, VoteGraph] | None = None
    """What late interaction votes with."""
    negatives: tuple[Negatives, Negatives] | None = None
    """Where the target's loss may be sampled: what it draws from, by domain."""
    left_out: LeftOut | None = None
    """The same for train samples, told nothing of them; None where none is to be learnt from."""

    def ids(self, domain: int) -> range:
        """The global ids of one domain's items."""
        return range(self.num_x) if domain == 0 else range(self.num_x, self.num_items)

    def with_sales(self, sold: Samples, settings: GraphConfig) -> "Graphs":
        """The same where the evidence reads of these samples what sold when; on the CPU."""
        clocks = clocks_of(sold, self.num_x, self.num_items) if settings.model.evidence_time else None
        if self.evidence is None or clocks is None:
            return self
        x_graph, y_graph = self.evidence
        told = (dataclasses.replace(x_graph, clock=clocks[0]), dataclasses.replace(y_graph, clock=clocks[1]))
        return dataclasses.replace(self, evidence=told)

    def to(self, device: torch.device) -> "Graphs":
        """On `device`; the same object where it is there already."""
        return self if device.type == "cpu" else _moved(self, device, {})


def build_graphs(
    train: Samples,
    items: Items,
    words: WordTables,
    text_IK: Floats,
    settings: GraphConfig,
    *,
    companions: CompanionTables | None = None,
) -> Graphs:
    """The graphs, on the CPU; `text_IK` are the items' text vectors.

    Item and attribute graphs are what encoders of attention propagate over: without these they have no edges.

    Args:
        companions: those of `train`; without them this process counts its own.
    """
    model = settings.model
    propagates = model.encoder == "attention"
    item_graphs = [
        build_item_graph(
            successor_edges(train, items.domain, within_domain=within)
            if propagates and model.item_graphs
            else _no_edges(),
            num_items=items.num_items,
            edge_weight=model.edge_weight,
        )
        for within in (False, True)
    ]
    return Graphs(
        mixed=item_graphs[0],
        within=item_graphs[1],
        attributes=attribute_graph(words.attributes, has_edges=propagates and model.attribute_graph),
        num_items=items.num_items,
        num_x=items.num_x,
        num_attributes=words.attributes.shape[1],
        evidence=_evidence_graphs(train, items, words, text_IK, settings, companions) if model.evidence else None,
    ).with_sales(train, settings)


def companion_rules(items: Items, settings: GraphConfig) -> CompanionRules:
    """What is counted of a catalogue under these settings."""
    model = settings.model
    return CompanionRules(items.num_items, items.num_x, window=model.window, max_companions=model.max_companions)


def _no_edges() -> Edges:
    return Edges(*(np.zeros(0, dtype=np.int64) for _ in range(3)))


def _no_entries(shape: tuple[int, int]) -> Matrix:
    nothing = np.zeros(0, dtype=np.int64)
    return sp.csr_matrix((np.zeros(0, dtype=np.float32), (nothing, nothing)), shape=shape)


def attribute_graph(attributes: Matrix, *, has_edges: bool) -> AttributeGraph:
    """Of who has what [I, V]."""
    has = attributes if has_edges else _no_entries(attributes.shape)
    both = sp.csr_matrix(sp.block_array([[None, sp.csr_array(has)], [sp.csr_array(has.T), None]]))
    both.sort_indices()
    row = rows_of(np.diff(both.indptr))
    degree = np.maximum(np.diff(both.indptr), 1).astype(np.float32)
    adjacency = as_edge_index(row.astype(np.int64), both.indices.astype(np.int64), both.shape)
    return AttributeGraph(adjacency, torch.from_numpy(1.0 / degree[row]))


def _evidence_graphs(
    train: Samples,
    items: Items,
    words: WordTables,
    text_IK: Floats,
    settings: GraphConfig,
    companions: CompanionTables | None,
) -> tuple[EvidenceGraph, EvidenceGraph]:
    if companions is None:
        rules = companion_rules(items, settings)
        companions = own_companions(train, text_IK, rules, memory_gib=settings.memory_gib)
    x_graph, y_graph = (_evidence_graph(items, words, companions, settings, domain=domain) for domain in (0, 1))
    return x_graph, y_graph


def _evidence_graph(
    items: Items, words: WordTables, companions: CompanionTables, settings: GraphConfig, *, domain: int
) -> EvidenceGraph:
    ids = items.ids(domain)
    tfidf = words.tfidf
    own = sp.csr_matrix(tfidf[ids.start : ids.stop])
    row = rows_of(np.diff(own.indptr))
    return EvidenceGraph(
        first=ids.start,
        size=len(ids),
        companions=companions.of_domain[domain],
        num_users=torch.from_numpy(companions.owners.num_users.astype(np.float32)),
        word_offsets=torch.from_numpy(np.append(tfidf.indptr, tfidf.indptr[-1]).astype(np.int64)),
        word=torch.from_numpy(tfidf.indices.astype(np.int64)),
        tfidf=torch.from_numpy(tfidf.data.astype(np.float32)),
        num_words=tfidf.shape[1],
        domain_words=as_edge_index(row.astype(np.int64), own.indices.astype(np.int64), own.shape),
        domain_tfidf=torch.from_numpy(own.data.astype(np.float32)),
        terms=EvidenceTerms(
            near=settings.model.evidence_near, words=settings.model.evidence_words, floor=settings.model.evidence_floor
        ),
    )


def _moved(value: Any, device: torch.device, moved: dict[int, Any]) -> Any:  # Any: walks whatever a dataclass holds
    """What two parts share, as both directions share the tables of late interaction, is moved once and stays shared.
    Companions stay where they are: in a file, on the host."""
    if id(value) in moved:
        return moved[id(value)]
    there = value
    if isinstance(value, EdgeIndex):
        there = value.to(device).fill_cache_()
    elif isinstance(value, Tensor):
        there = value.to(device)
    elif isinstance(value, tuple):
        there = tuple(_moved(part, device, moved) for part in value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        there = dataclasses.replace(value, **{name: _moved(getattr(value, name), device, moved) for name in names})
    moved[id(value)] = there
    return there
