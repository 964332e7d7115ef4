"""The recipe's `graph` section: a preset, and whatever is to differ from it."""

import dataclasses
from dataclasses import dataclass

from graph.presets import PRESETS, Alignment, EdgeWeight, GraphSettings, Initial, PresetName


@dataclass(frozen=True, kw_only=True)
class GraphConfig:
    """Pretrain the dual-graph sequential model. null means: as the preset says."""

    preset: PresetName = "best"
    """paper: the publication's sizes and losses; code: the released code's; best: ours, with graph evidence."""
    dim: int | None = None
    """Width d of the three item tables; encoders and user vectors are 2 d wide."""
    attribute_dim: int | None = None
    """Width of the attribute graph's table."""
    layers: int | None = None
    """Propagation steps over every graph."""
    blocks: int | None = None
    """Self-attention blocks of each encoder."""
    dropout: float | None = None
    """Dropout in the encoders."""
    propagation_dropout: float | None = None
    """Dropout of what is propagated over the graphs."""
    max_history: int | None = None
    """Most recent items of a history that the model sees."""
    edge_weight: EdgeWeight | None = None
    """count: an edge weighs as many users as have it; binary: 1."""
    drop_target_edges: bool | None = None
    """Take a training sample's own count out of the edges that it is asked to predict (they leak its target)."""
    initial: Initial | None = None
    """Item tables at the start: normal noise, or the titles' and attributes' words (TF-IDF, truncated SVD)."""
    init_scale: float | None = None
    """Standard deviation of that noise; length of the text vectors."""
    tie_head: bool | None = None
    """Score items by their vectors instead of a separate linear layer."""
    evidence: bool | None = None
    """Add what the co-occurrence and word graphs say of each item to its score, with learned weights."""
    window: int | None = None
    """Items this far apart in a train history are companions (evidence only)."""
    max_companions: int | None = None
    """An item with more companions loses those that the fewest users share, until it has no more than this."""
    predicted_positions: int | None = None
    """The next-item losses learn from the last so many positions of a history; 0: from all."""
    next_item_weight: float | None = None
    """Weight of the paper's next-item losses, shared and specific, at each position."""
    target_weight: float | None = None
    """Weight of the target's loss under the scores that rank: those of the encoders' last states."""
    fused_weight: float | None = None
    """Weight of the loss of evidence and encoders together (evidence only)."""
    infomax_weight: float | None = None
    """Weight of the infomax losses; 0 leaves their discriminators out."""
    align_weight: float | None = None
    """Weight of the alignment of an item's two halves."""
    alignment: Alignment | None = None
    """mse: mean squared distance; mmd: maximum mean discrepancy of at most 512 of the batch's items."""
    perturbation: float | None = None
    """Norm of the perturbation of corrupted histories (infomax)."""
    label_smoothing: float | None = None
    """Share of the next-item target that is spread over the domain."""
    epochs: int | None = None
    """Passes over the train samples at most."""
    patience: int | None = None
    """Epochs without a better valid MRR before training stops."""
    global_batch: int | None = None
    """Samples a step over all ranks together."""
    lr: float | None = None
    """Adam's learning rate."""
    table_rate: float | None = None
    """Learning rate of the item and attribute tables, as a share of `lr`; 0 leaves them as they start."""
    evidence_lr: float | None = None
    """Adam's learning rate of the few evidence weights."""
    weight_decay: float | None = None
    """Decoupled weight decay of tables and matrices."""
    grad_clip: float | None = None
    """Gradient norm at most."""
    checkpoint_every: int | None = None
    """Steps between checkpoints inside an epoch; every epoch's end has one."""
    list_depth: int | None = None
    """Items in an exported list; the history's own are not removed."""
    encode_batch: int | None = None
    """Samples encoded or ranked at a time outside training."""

    def __post_init__(self) -> None:
        resolve(self)


def resolve(config: GraphConfig) -> GraphSettings:
    """The preset with the config's own choices put in; ValueError names the key of one that cannot be."""
    chosen = {
        field.name: value
        for field in dataclasses.fields(config)
        if field.name != "preset" and (value := getattr(config, field.name)) is not None
    }
    if chosen.get("predicted_positions") == 0:
        chosen["predicted_positions"] = None
    settings = dataclasses.replace(PRESETS[config.preset], **chosen)
    if settings.fused_weight > 0 and not settings.evidence:
        raise ValueError(f"graph.fused_weight needs graph.evidence=true, got {settings.fused_weight}; set it to 0")
    if settings.evidence and settings.fused_weight == 0:
        raise ValueError("graph.evidence needs graph.fused_weight above 0, or its weights learn nothing")
    return settings
