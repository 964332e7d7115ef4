"""The recipe's `graph` section: a preset, and whatever is to differ from it."""

import dataclasses
from dataclasses import dataclass

from graph.presets import PRESETS, Alignment, EdgeWeight, GraphSettings, Initial, PresetName
from launch.options.fields import Decides, Means


@dataclass(frozen=True, kw_only=True)
class GraphConfig:
    """Pretrain the dual-graph sequential model. null means: as the preset says."""

    preset: Decides[PresetName] = "best"
    """paper: the publication's sizes and losses; code: the released code's; best: ours, with graph evidence."""
    dim: Decides[int | None] = None
    """Width d of the three item tables; encoders and user vectors are 2 d wide."""
    attribute_dim: Decides[int | None] = None
    """Width of the attribute graph's table."""
    layers: Decides[int | None] = None
    """Propagation steps over every graph."""
    blocks: Decides[int | None] = None
    """Self-attention blocks of each encoder."""
    dropout: Decides[float | None] = None
    """Dropout in the encoders."""
    propagation_dropout: Decides[float | None] = None
    """Dropout of what is propagated over the graphs."""
    max_history: Decides[int | None] = None
    """Most recent items of a history that the model sees."""
    edge_weight: Decides[EdgeWeight | None] = None
    """count: an edge weighs as many users as have it; binary: 1."""
    drop_target_edges: Decides[bool | None] = None
    """Take a training sample's own count out of the edges that it is asked to predict (they leak its target)."""
    initial: Decides[Initial | None] = None
    """Item tables at the start: normal noise, or the words of titles and attributes (TF-IDF, truncated SVD); where no
    two items share a word, the train users who have an item instead."""
    init_scale: Decides[float | None] = None
    """Standard deviation of that noise; length of the text vectors."""
    tie_head: Decides[bool | None] = None
    """Score items by their vectors instead of a separate linear layer."""
    evidence: Decides[bool | None] = None
    """Add what the co-occurrence and word graphs say of each item to its score, with learned weights."""
    window: Decides[int | None] = None
    """Items this far apart in a train history are companions (evidence only)."""
    max_companions: Decides[int | None] = None
    """An item with more companions loses those that the fewest users share, until it has no more than this."""
    predicted_positions: Decides[int | None] = None
    """The next-item losses learn from the last so many positions of a history; 0: from all."""
    next_item_weight: Decides[float | None] = None
    """Weight of the paper's next-item losses, shared and specific, at each position."""
    target_weight: Decides[float | None] = None
    """Weight of the target's loss under the scores that rank: those of the encoders' last states."""
    fused_weight: Decides[float | None] = None
    """Weight of the loss of evidence and encoders together (evidence only)."""
    infomax_weight: Decides[float | None] = None
    """Weight of the infomax losses; 0 leaves their discriminators out."""
    align_weight: Decides[float | None] = None
    """Weight of the alignment of an item's two halves."""
    alignment: Decides[Alignment | None] = None
    """mse: mean squared distance; mmd: maximum mean discrepancy of at most 512 of the batch's items."""
    perturbation: Decides[float | None] = None
    """Norm of the perturbation of corrupted histories (infomax)."""
    label_smoothing: Decides[float | None] = None
    """Share of the next-item target that is spread over the domain."""
    epochs: Decides[int | None] = None
    """Passes over the train samples at most."""
    patience: Decides[int | None] = None
    """Epochs without a better valid MRR before training stops."""
    global_batch: Decides[int | None] = None
    """Samples a step over all ranks together."""
    lr: Decides[float | None] = None
    """Adam's learning rate."""
    table_rate: Decides[float | None] = None
    """Learning rate of the item and attribute tables, as a share of `lr`; 0 leaves them as they start."""
    evidence_lr: Decides[float | None] = None
    """Adam's learning rate of the few evidence weights."""
    weight_decay: Decides[float | None] = None
    """Decoupled weight decay of tables and matrices."""
    grad_clip: Decides[float | None] = None
    """Gradient norm at most."""
    checkpoint_every: Means[int | None] = None
    """Steps between checkpoints inside an epoch; every epoch's end has one."""
    list_depth: Decides[int | None] = None
    """Items in an exported list; the history's own are not removed."""
    encode_batch: Means[int | None] = None
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
