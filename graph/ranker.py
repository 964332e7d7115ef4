"""Rank a domain's items: the encoders' scores and, where configured, the evidence of the graphs."""

import torch
from torch import Tensor, nn

from graph.build import Graphs
from graph.config import GraphConfig
from graph.evidence import Evidence
from graph.model import DualGraphModel, States, Tables


class GraphRanker(nn.Module):
    """score(j) = exp(blend_D) head_D(H_S[last] + H_D[last D position])_j + evidence_D(history)_j."""

    def __init__(self, graphs: Graphs, settings: GraphConfig) -> None:
        super().__init__()
        self.model = DualGraphModel(
            graphs,
            dim=settings.model.dim,
            attribute_dim=settings.model.attribute_dim,
            layers=settings.model.layers,
            blocks=settings.model.blocks,
            max_history=settings.model.max_history,
            dropout=settings.model.dropout,
            propagation_dropout=settings.model.propagation_dropout,
            tie_head=settings.model.tie_head,
            init_scale=settings.model.init_scale,
        )
        self.evidence = nn.ModuleList([Evidence(), Evidence()] if settings.model.evidence else [])
        self.blend = nn.ParameterList([nn.Parameter(torch.tensor(-1.0)) for _ in self.evidence])

    def forward(self, graphs: Graphs, history_BL: Tensor, domain: int) -> tuple[Tensor, Tensor]:
        """Scores [B, size] of the domain's items and user vectors [B, 2 d] towards it, in eval mode."""
        tables = self.model.propagate(graphs, None)
        return self.rank(graphs, tables, history_BL, domain)

    def rank(self, graphs: Graphs, tables: Tables, history_BL: Tensor, domain: int) -> tuple[Tensor, Tensor]:
        """The same with tables propagated already."""
        states = self.model.encode(graphs, tables, history_BL, None)
        vectors_BK = self.model.user_vectors(states, domain)
        encoder_BD = self.model.scores(graphs, tables, vectors_BK, domain)
        return self.fuse(graphs, encoder_BD, history_BL, domain, own_user_B=None), vectors_BK

    def encoder_scores(self, graphs: Graphs, tables: Tables, states: States, row_R: Tensor, domain: int) -> Tensor:
        """The encoders' scores of some rows of a batch [R, size]."""
        return self.model.scores(graphs, tables, self.model.user_vectors(states, domain)[row_R], domain)

    def fuse(
        self, graphs: Graphs, encoder_BD: Tensor, history_BL: Tensor, domain: int, *, own_user_B: Tensor | None
    ) -> Tensor:
        """Encoder scores and evidence together [B, size]; without an evidence part, the scores as they are."""
        if graphs.evidence is None:
            return encoder_BD
        graph = graphs.evidence[domain]
        if len(history_BL) == 0:  # no rows on this rank: nothing to score, yet every weight has a gradient, zero
            evidence_BD = torch.stack([weight.sum() for weight in self.evidence[domain].parameters()]).sum() * 0
        else:
            evidence_BD = self.evidence[domain](graph, history_BL, own_user_B)
        fused_BD: Tensor = evidence_BD + self.blend[domain].exp() * encoder_BD
        return fused_BD
