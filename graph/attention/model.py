"""The dual-graph sequential model: item vectors from graphs, histories through three encoders, scores.

Exploring User Retrieval Integration towards Large Language Models for Cross-Domain Sequential Recommendation
(arXiv 2406.03085, section 4.1). Streams: S, the mixed history; X and Y, the history of one domain. In stream D

    r_D(i) = sqrt(d) [ G_D(i) + E_D(i) ; W_D G_A(i) + W E_A(i) ],   H_D = Encoder_D(r_D(history))

with G_D the propagated table E_D (graph S: mixed successors, X and Y: successors within the domain) and G_A that of the
item-attribute graph. Next item: head(H_S) of any domain, head_D(H_S + H_D) within domain D.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from graph.attention.encoder import Encoder, last_real
from graph.attention.propagation import Neighbours, Propagated, propagate, propagate_to
from graph.build import Graphs
from graph.noise import Noise

STREAMS = ("S", "X", "Y")


@dataclass(frozen=True)
class Tables:
    """One propagation's results."""

    items: tuple[Propagated, Propagated, Propagated]
    """Streams S, X, Y."""
    attributes: Propagated


@dataclass(frozen=True)
class States:
    """Encoded histories, zero where a stream has no item."""

    shared: Tensor  # [B, L, K]
    x: Tensor  # [B, L, K]
    y: Tensor  # [B, L, K]
    is_x: Tensor  # [B, L]
    is_y: Tensor  # [B, L]

    @property
    def real(self) -> Tensor:
        """Positions that are not padding."""
        return self.is_x | self.is_y

    def take(self, rows: Tensor) -> "States":
        """Only `rows`."""
        return States(self.shared[rows], self.x[rows], self.y[rows], self.is_x[rows], self.is_y[rows])

    def of(self, domain: int) -> tuple[Tensor, Tensor]:
        """H_X or H_Y, and the positions it exists at."""
        return (self.x, self.is_x) if domain == 0 else (self.y, self.is_y)


class DualGraphModel(nn.Module):
    """All parameters of the model; graphs are passed in."""

    def __init__(
        self,
        graphs: Graphs,
        *,
        dim: int,
        attribute_dim: int,
        layers: int,
        blocks: int,
        max_history: int,
        dropout: float,
        propagation_dropout: float,
        tie_head: bool,
        init_scale: float,
        precision: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.by_rows = False
        """Whether gradients of tables and head are sparse, where a step needs some rows only."""
        self.propagation_dropout = propagation_dropout
        num_nodes = graphs.num_items + graphs.num_attributes
        self.tables = nn.ParameterDict({s: nn.Parameter(torch.empty(graphs.num_items, dim)) for s in STREAMS})
        self.attribute_table = nn.Parameter(torch.empty(num_nodes, attribute_dim))
        self.biases = nn.ParameterDict({s: nn.Parameter(torch.zeros(layers, dim)) for s in STREAMS})
        self.attribute_bias = nn.Parameter(torch.zeros(layers, attribute_dim))
        self.propagated_map = nn.ModuleDict({s: nn.Linear(attribute_dim, dim, bias=False) for s in STREAMS})
        self.own_map = nn.Linear(attribute_dim, dim, bias=False)
        self.encoders = nn.ModuleDict(
            {
                s: Encoder(2 * dim, max_history=max_history, blocks=blocks, dropout=dropout, precision=precision)
                for s in STREAMS
            }
        )
        sizes = [len(graphs.ids(domain)) for domain in (0, 1)]
        self.head_bias = nn.ParameterList([nn.Parameter(torch.zeros(size)) for size in sizes])
        self.head = nn.ParameterList([] if tie_head else [nn.Parameter(torch.empty(n, 2 * dim)) for n in sizes])
        for table in (*self.tables.values(), self.attribute_table):
            nn.init.normal_(table, std=init_scale)
        if tie_head:
            for encoder in self.encoders.values():
                assert isinstance(encoder, Encoder)
                encoder.start_as_mean()
        for weight in self.head:
            nn.init.normal_(weight, std=1 / math.sqrt(2 * dim))

    def start_from(self, vectors_IK: Tensor) -> None:
        """Let the three item tables begin as these vectors (already scaled)."""
        with torch.no_grad():
            for table in self.tables.values():
                table.copy_(vectors_IK)

    def propagate(self, graphs: Graphs, noise: Noise | None, item_N: Tensor | None = None) -> Tables:
        """Propagate all tables once.

        Args:
            item_N: the items, ascending, that will be asked for, those of a domain in its own stream; None: all.
        """
        dropout = self.propagation_dropout

        def sent_over(graph: Neighbours, table_VK: Tensor, bias_LK: Tensor, node_N: Tensor | None) -> Propagated:
            if node_N is None:
                return propagate(graph, table_VK, bias_LK, noise, dropout=dropout)
            return propagate_to(node_N, graph, table_VK, bias_LK, noise, dropout=dropout, by_rows=self.by_rows)

        asked: tuple[Tensor | None, ...] = (None, None, None)
        if item_N is not None:
            is_x_N = item_N < graphs.num_x
            asked = (item_N, item_N[is_x_N], item_N[~is_x_N])
        of_stream = (graphs.mixed, graphs.within, graphs.within)
        s, x, y = (
            sent_over(graph, self.tables[name], self.biases[name], node_N)
            for name, graph, node_N in zip(STREAMS, of_stream, asked, strict=True)
        )
        return Tables((s, x, y), sent_over(graphs.attributes, self.attribute_table, self.attribute_bias, item_N))

    def halves(
        self, tables: Tables, stream: int, item_P: Tensor, without: tuple[Graphs, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """The two halves of r(i) without the factor sqrt(d), each [P, d].

        Args:
            without: the graphs, and for each item the one whose edge from it is to be taken out (see Propagated).
        """
        name, table = STREAMS[stream], tables.items[stream]
        if without is None:
            propagated_PK = table.at(item_P)
        else:
            graphs, target_P = without
            propagated_PK = table.without_edges(graphs.mixed if stream == 0 else graphs.within, item_P, target_P)
        collaborative_PK = propagated_PK + table.own_at(item_P)
        attributes = tables.attributes
        by_words_PK = self.propagated_map[name](attributes.at(item_P)) + self.own_map(attributes.own_at(item_P))
        return collaborative_PK, by_words_PK

    def item_vectors(self, halves: tuple[Tensor, Tensor]) -> Tensor:
        """r(i) [P, 2 d]."""
        return math.sqrt(self.dim) * torch.cat(halves, dim=1)

    def embed(
        self,
        tables: Tables,
        stream: int,
        history_BL: Tensor,
        real_BL: Tensor,
        *,
        without: tuple[Graphs, Tensor] | None = None,
    ) -> Tensor:
        """r of the items at the positions `real_BL`, in order of rows and places [T, 2 d]."""
        edges = None if without is None else (without[0], without[1][real_BL])
        return self.item_vectors(self.halves(tables, stream, history_BL[real_BL], edges))

    def encode(
        self,
        graphs: Graphs,
        tables: Tables,
        history_BL: Tensor,
        noise: Noise | None,
        *,
        next_any_BL: Tensor | None = None,
        next_own_BL: Tensor | None = None,
        asked_BL: Tensor | None = None,
    ) -> States:
        """H_S, H_X, H_Y of left-padded histories.

        Args:
            next_any_BL, next_own_BL: the items whose edges from each position are taken out of the graphs, the mixed
                one and those within a domain; padding where there is none.
            asked_BL: the positions whose states will be read, if not all.
        """
        is_x_BL = history_BL < graphs.num_x
        is_y_BL = (history_BL >= graphs.num_x) & (history_BL < graphs.num_items)
        states = []
        for stream, real_BL in enumerate((is_x_BL | is_y_BL, is_x_BL, is_y_BL)):
            targets_BL = next_any_BL if stream == 0 else next_own_BL
            without = None if targets_BL is None else (graphs, targets_BL)
            x_TK = self.embed(tables, stream, history_BL, real_BL, without=without)
            states.append(self.encoders[STREAMS[stream]](x_TK, real_BL, noise, asked_BL))
        return States(states[0], states[1], states[2], is_x_BL, is_y_BL)

    def scores(self, graphs: Graphs, tables: Tables, states_PK: Tensor, domain: int) -> Tensor:
        """The head: scores of every item of a domain [P, size]."""
        vectors_DK, bias_D = self.head_of(graphs, tables, domain)
        scores_PD: Tensor = states_PK @ vectors_DK.T + bias_D
        return scores_PD

    def head_of(
        self, graphs: Graphs, tables: Tables, domain: int, column_S: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """What states are multiplied with, and what is added, of a domain's items [S, 2 d], [S].

        Args:
            column_S: only of these items of it, counted from its first, each once.
        """
        ids, bias_S = graphs.ids(domain), self.head_bias[domain]
        if column_S is not None:
            bias_S = bias_S[column_S]
        if len(self.head):
            head_DK = self.head[domain]
            return head_DK if column_S is None else self._rows(head_DK, column_S), bias_S
        if column_S is None:
            column_S = torch.arange(len(ids), device=bias_S.device)
        return torch.cat(self.halves(tables, 0, column_S + ids.start), dim=1), bias_S

    def _rows(self, table_DK: Tensor, row_S: Tensor) -> Tensor:
        return nn.functional.embedding(row_S, table_DK, sparse=self.by_rows)

    @staticmethod
    def user_vectors(states: States, domain: int) -> Tensor:
        """H_S[last] + H_D[last position of domain D] [B, 2 d]; a part whose domain the history lacks is zero."""
        own_BLK, is_own_BL = states.of(domain)
        return last_real(states.shared, states.real) + last_real(own_BLK, is_own_BL)
