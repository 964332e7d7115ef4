"""Rank a domain's items: the encoders' scores and, where configured, the evidence of the graphs."""

import torch
from torch import Tensor, nn

from graph.attention.model import DualGraphModel, Tables
from graph.batches import Batch, next_items, next_of_own_domain
from graph.build import Graphs
from graph.config import GraphConfig
from graph.evidence import Evidence
from graph.late.interaction import LateInteraction


class GraphRanker(nn.Module):
    """score(j) = exp(blend_D) encoders_D(history)_j + evidence_D(history)_j.

    The encoders are three of self-attention, head_D(H_S[last] + H_D[last D position]), or late interaction.
    """

    def __init__(self, graphs: Graphs, settings: GraphConfig) -> None:
        super().__init__()
        self.model: DualGraphModel | None = None
        self.late = nn.ModuleList()
        if settings.model.encoder == "late":
            self.late.extend([LateInteraction(), LateInteraction()])
        else:
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
                precision=torch.bfloat16 if settings.schedule.precision == "bfloat16" else torch.float32,
            )
        self.vector_width = settings.model.vector_width
        """Numbers in a user's vector."""
        self.evidence = nn.ModuleList([Evidence(), Evidence()] if settings.model.evidence else [])
        self.blend = nn.ParameterList([nn.Parameter(torch.tensor(-1.0)) for _ in self.evidence])

    @property
    def attention(self) -> DualGraphModel:
        """The model of the attention encoders; not to be asked for where they are late interaction."""
        assert self.model is not None
        return self.model

    def propagate(self, graphs: Graphs) -> Tables | None:
        """What the encoders read of the graphs, made once for many batches; None where there is nothing to make."""
        return None if self.model is None else self.model.propagate(graphs, None)

    def rank(self, graphs: Graphs, tables: Tables | None, batch: Batch, domain: int) -> Tensor:
        """Scores [B, size] of the domain's items, in eval mode."""
        encoder_BD = self.encoder_scores(graphs, tables, batch.history, domain)
        return self.fuse(graphs, encoder_BD, batch, domain, own_user_B=None)

    def encoder_scores(self, graphs: Graphs, tables: Tables | None, history_BL: Tensor, domain: int) -> Tensor:
        """What the encoders alone say [B, size], in eval mode."""
        if self.model is None:
            assert graphs.votes is not None
            said_BD: Tensor = self.late[domain](graphs.votes[domain], history_BL, graphs.num_items)
            return said_BD
        assert tables is not None
        states = self.model.encode(graphs, tables, history_BL, None)
        return self.model.scores(graphs, tables, self.model.user_vectors(states, domain), domain)

    def left_out_scores(self, graphs: Graphs, batch: Batch, domain: int) -> Tensor:
        """What late interaction says to train samples that its tables were told nothing of [B, size].

        Nothing, 0, to samples of no block: the evidence learns from them and late interaction does not. With tables
        that know the target, both would learn to trust them.
        """
        late = self.late[domain]
        assert isinstance(late, LateInteraction)
        said_BD = torch.zeros(len(batch), len(graphs.ids(domain)), device=batch.history.device) + late.nothing()
        if graphs.left_out is None:
            return said_BD
        block_B = graphs.left_out.block_of(batch.sample)
        for block, votes in enumerate(graphs.left_out.votes):
            row_R = torch.nonzero(block_B == block)[:, 0]
            if len(row_R):
                said_BD = said_BD.index_copy(0, row_R, late(votes[domain], batch.history[row_R], graphs.num_items))
        return said_BD

    def user_vectors(
        self, graphs: Graphs, tables: Tables | None, batch: Batch, *, drop_edges: bool
    ) -> tuple[Tensor, Tensor]:
        """Vectors towards X and towards Y [B, vector_width], in eval mode.

        Args:
            drop_edges: take the edges that train samples are asked to predict out of the graphs (attention only).
        """
        pad = graphs.num_items
        if self.model is None:
            assert graphs.votes is not None
            towards = []
            for domain, late in enumerate(self.late):
                nearest = graphs.votes[domain].nearest
                assert isinstance(late, LateInteraction)
                assert nearest.tables is not None
                towards.append(late.user_vectors(nearest.tables, batch.history, nearest.ids, pad))
            return towards[0], towards[1]
        assert tables is not None
        next_any_BL = next_items(batch, pad=pad) if drop_edges else None
        next_own_BL = next_of_own_domain(batch, num_x=graphs.num_x, pad=pad) if drop_edges else None
        states = self.model.encode(
            graphs, tables, batch.history, None, next_any_BL=next_any_BL, next_own_BL=next_own_BL
        )
        return self.model.user_vectors(states, 0), self.model.user_vectors(states, 1)

    def fuse(
        self, graphs: Graphs, encoder_BD: Tensor, batch: Batch, domain: int, *, own_user_B: Tensor | None
    ) -> Tensor:
        """Encoder scores and evidence together [B, size]; without an evidence part, the scores as they are."""
        if graphs.evidence is None:
            return encoder_BD
        graph = graphs.evidence[domain]
        if len(batch) == 0:  # no rows on this rank: nothing to score, yet every weight has a gradient, zero
            evidence_BD = torch.stack([weight.sum() for weight in self.evidence[domain].parameters()]).sum() * 0
        else:
            evidence_BD = self.evidence[domain](graph, batch.history, own_user_B, moment_B=batch.moment)
        return self.blended(evidence_BD, encoder_BD, domain)

    def blended(self, evidence_BD: Tensor, encoder_BD: Tensor, domain: int) -> Tensor:
        """The score out of those of evidence and encoders."""
        fused_BD: Tensor = evidence_BD + self.blend[domain].exp() * encoder_BD
        return fused_BD
