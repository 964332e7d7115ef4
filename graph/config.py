"""The recipe's `graph` section: what the model is made of, what it learns by, how long; every value in its place.

The values written here are the publication's (preset `paper`, arXiv 2406.03085, section 4); what it does not state is
as docs/method.md has it. graph/presets.py holds what the other presets do differently. A recipe's keys are laid onto
its preset's values before this is built, so a configuration holds no null that stands for something else.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from launch.options.fields import Decides, Means

PresetName = Literal["paper", "code", "best"]
EdgeWeight = Literal["count", "binary"]
Initial = Literal["normal", "text"]
Alignment = Literal["mse", "mmd"]
Encoders = Literal["attention", "late"]
MOST_COLUMNS = 1024
"""Of a table of late interaction: as many bytes as inner products in float32 are exact for."""
TABLES = ("shared", "within", "words")
"""Those of late interaction (graph/late/item_tables.py)."""
VECTOR_COLUMNS = 64
"""Of each of them, the most important first, in a user's vector."""
Ranking = Literal["auto", "all", "candidates"]
TableOptimizer = Literal["dense", "rows"]
Precision = Literal["float32", "bfloat16"]
Twins = Literal["both", "together", "one"]


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The graphs, the item tables, the encoders and the evidence."""

    encoder: Decides[Encoders] = "attention"
    """attention: three self-attention encoders over trained tables, the paper's; late: every item of a history votes by
    itself for what is near to it in factorised tables, with a few learned weights (late interaction)."""
    dim: Decides[int] = 128
    """Width d of the three item tables; with attention, encoders and user vectors are 2 d wide."""
    nearest: Decides[int] = 100
    """Items nearest to an item by each of its tables, for which it votes (late only)."""
    late_words: Decides[bool] = True
    """Whether one of these tables is of the words (late only)."""
    attribute_dim: Decides[int] = 32
    """Width of the attribute graph's table."""
    layers: Decides[int] = 1
    """Propagation steps over every graph."""
    blocks: Decides[int] = 2
    """Self-attention blocks of each encoder."""
    dropout: Decides[float] = 0.2
    """Dropout in the encoders."""
    propagation_dropout: Decides[float] = 0.2
    """Dropout of what is propagated over the graphs."""
    max_history: Decides[int] = 30
    """Most recent items of a history that the model sees."""
    edge_weight: Decides[EdgeWeight] = "count"
    """count: an edge weighs as many users as have it; binary: 1."""
    item_graphs: Decides[bool] = True
    """Whether the two item graphs have their edges; without them nothing is propagated from item to item."""
    attribute_graph: Decides[bool] = True
    """Whether the attribute graph has its edges; without them an item's attribute half is its own row alone."""
    drop_target_edges: Decides[bool] = True
    """Take a training sample's own count out of the edges that it is asked to predict (they leak its target)."""
    initial: Decides[Initial] = "normal"
    """Item tables at the start: normal noise, or the words of titles and attributes (TF-IDF, truncated SVD); where no
    two items share a word, the train users who have an item instead."""
    init_scale: Decides[float] = 0.1
    """Standard deviation of that noise; length of the text vectors."""
    tie_head: Decides[bool] = False
    """Score items by their vectors instead of a separate linear layer."""
    evidence: Decides[bool] = False
    """Add what the co-occurrence and word graphs say of each item to its score, with learned weights."""
    evidence_near: Decides[bool] = True
    """Whether the evidence counts the companions of the history's items."""
    evidence_words: Decides[bool] = True
    """Whether it counts the likeness of words."""
    evidence_floor: Decides[bool] = True
    """Whether it counts popularity, of which every item has some."""
    evidence_time: Decides[bool] = True
    """Whether it counts what sold before the moment of the question, on pairs with times."""
    window: Decides[int] = 30
    """Items this far apart in a train history are companions (evidence only)."""
    max_companions: Decides[int] = 2000
    """An item with more companions loses those that the fewest users share, until it has no more than this."""

    @property
    def vector_width(self) -> int:
        """Numbers in a user's vector."""
        return len(TABLES) * min(self.dim, VECTOR_COLUMNS) if self.encoder == "late" else 2 * self.dim

    def __post_init__(self) -> None:
        _at_least("graph.model", self, 1, "dim", "attribute_dim", "layers", "blocks", "max_history", "window")
        _at_least("graph.model", self, 1, "max_companions", "nearest")
        if self.encoder == "late" and self.dim > MOST_COLUMNS:
            raise ValueError(f"graph.model.dim must be at most {MOST_COLUMNS} with encoder=late, got {self.dim}")
        _positive("graph.model", self, "init_scale")
        _share("graph.model", self, "dropout", "propagation_dropout")
        if self.evidence and not (self.evidence_near or self.evidence_words or self.evidence_floor):
            raise ValueError(
                "graph.model.evidence needs one of evidence_near, evidence_words and evidence_floor; set "
                "graph.model.evidence=false (and graph.loss.fused_weight=0) to do without"
            )


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """The terms of the loss (graph/objective.py) and what they need."""

    next_item_weight: Decides[float] = 1.0
    """Weight of the paper's next-item losses, shared and specific, at each position."""
    predicted_positions: Decides[int] = 0
    """The next-item losses learn from the last so many positions of a history; 0: from all."""
    target_weight: Decides[float] = 0.0
    """Weight of the target's loss under the scores that rank: those of the encoders' last states."""
    fused_weight: Decides[float] = 0.0
    """Weight of the loss of evidence and encoders together (evidence only)."""
    infomax_weight: Decides[float] = 0.3
    """Weight of the infomax losses; 0 leaves their discriminators out."""
    infomax_share: Decides[float] = 1.0
    """Share of a batch's histories, drawn, that the infomax losses look at; their mean is the same one, estimated."""
    perturbation: Decides[float] = 0.05
    """Norm of the perturbation of corrupted histories (infomax)."""
    align_weight: Decides[float] = 0.3
    """Weight of the alignment of an item's two halves."""
    alignment: Decides[Alignment] = "mse"
    """mse: mean squared distance; mmd: maximum mean discrepancy of at most 512 of the batch's items."""
    label_smoothing: Decides[float] = 0.0
    """Share of the next-item target that is spread over the domain."""
    sampled_negatives: Decides[int] = 2048
    """Items of a domain that a step draws: beside every sample's own candidates (companions, nearest, target) for the
    target's losses of late interaction and evidence, beside the next item for those of attention; 0: always all items,
    the full softmax."""
    sampled_candidates: Decides[int] = 1024
    """Candidates of a sample above which, where its loss is sampled, about so many of them are drawn, those that say
    more the more likely, and stand for all (late only); 0: all of them, whose number grows with the catalogue."""
    full_softmax_items: Decides[int] = 50_000
    """A domain of at most so many items keeps the full softmax: there it costs little, and nothing is estimated."""
    twins: Decides[Twins] = "both"
    """Train samples of one user with one history: learn from all of them, or from one, drawn; the graphs are of all.
    together: from all, in one batch; with attention and without `drop_target_edges` their history is encoded once."""

    def __post_init__(self) -> None:
        weights = ("next_item_weight", "target_weight", "fused_weight", "infomax_weight", "align_weight")
        _at_least("graph.loss", self, 0, *weights, "perturbation", "predicted_positions")
        _at_least("graph.loss", self, 0, "sampled_negatives", "sampled_candidates", "full_softmax_items")
        _share("graph.loss", self, "label_smoothing")
        if not 0 < self.infomax_share <= 1:
            raise ValueError(f"graph.loss.infomax_share must be above 0 and at most 1, got {self.infomax_share}")
        if self.next_item_weight + self.target_weight == 0:
            raise ValueError("graph.loss.next_item_weight and target_weight are both 0; one must be positive")


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """How long and how fast it learns."""

    epochs: Decides[int] = 10
    """Passes over the train samples at most."""
    patience: Decides[int] = 2
    """Epochs without a better valid MRR before training stops."""
    global_batch: Decides[int] = 64
    """Samples a step over all ranks together."""
    lr: Decides[float] = 1e-3
    """Adam's learning rate."""
    table_rate: Decides[float] = 1.0
    """Learning rate of the item and attribute tables, as a share of `lr`; 0 leaves them as they start."""
    table_optimizer: Decides[TableOptimizer] = "dense"
    """dense: Adam moves every row of tables and head at each step; rows: only those that the step has a gradient for,
    the others and their moments wait (as SparseAdam)."""
    precision: Decides[Precision] = "float32"
    """In which the encoders' matrices are multiplied while they learn (attention only); weights, sums and ranking stay
    float32. bfloat16 is for GPUs and for processors that have it (`avx512_bf16`); others are slower with it."""
    evidence_lr: Decides[float] = 2e-2
    """Adam's learning rate of the few evidence weights."""
    weight_decay: Decides[float] = 0.0
    """Decoupled weight decay of tables and matrices."""
    grad_clip: Decides[float] = 5.0
    """Gradient norm at most."""
    valid_samples: Decides[int] = 20_000
    """Valid samples that an epoch is judged by; of more, as many of them drawn once."""
    checkpoint_every: Means[int] = 500
    """Steps between checkpoints inside an epoch; every epoch's end has one."""
    checkpoint_minutes: Means[float | None] = 30.0
    """Minutes after which there is another checkpoint, however few steps they were; null: by steps alone."""

    def __post_init__(self) -> None:
        _at_least("graph.schedule", self, 1, "epochs", "patience", "global_batch", "checkpoint_every", "valid_samples")
        _positive("graph.schedule", self, "lr", "evidence_lr", "grad_clip")
        _at_least("graph.schedule", self, 0, "table_rate", "weight_decay")
        if self.checkpoint_minutes is not None:
            _positive("graph.schedule", self, "checkpoint_minutes")


@dataclass(frozen=True, kw_only=True)
class GraphConfig:
    """Pretrain the dual-graph sequential model. A key that a recipe leaves out is as its preset says."""

    preset: Means[PresetName] = "paper"
    """Whose values a recipe starts from, `best` if it does not say. paper: the publication's sizes and losses; code:
    the released code's; best: ours, with graph evidence. The values decide, not this name."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """What the model is made of."""
    loss: LossConfig = field(default_factory=LossConfig)
    """What it learns by."""
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    """How long and how fast it learns."""
    list_depth: Decides[int] = 200
    """Items in an exported list; the history's own are not removed."""
    train_lists: Decides[int | None] = None
    """Train samples, drawn by the seed, of whom lists are made as if their users had bought nothing: kindred users are
    sought for these alone, and prompts are theirs (evidence only); null: all, of which `prompts.max_train_samples` are
    taught. Where a language model learns from a small share of millions, the others' need not be made."""
    held_out_lists: Decides[int | None] = None
    """Samples of valid, and of test, that are asked about: of more, those of whole users drawn by the seed. Lists,
    kindred users and prompts are made of these alone, and these are judged; the others' purchases are known all the
    same. null: all. Some hundred thousand tell systems apart; of millions the lists would take most of the time."""
    ranking: Decides[Ranking] = "auto"
    """Items that valid and the exported lists of valid and test rank. all: those of the domain; candidates: companions
    and nearest items of the history and popular ones (late only), others are not ranked; auto: candidates in domains of
    more than `loss.full_softmax_items`."""
    encode_batch: Means[int] = 256
    """Samples encoded or ranked at a time outside training."""
    memory_gib: Means[float] = 1.0
    """Memory that the counting of companions keeps to, about; what does not fit waits on disk in the run's folder. A
    few numbers for every item, user and sample come on top. The result does not depend on it."""

    def __post_init__(self) -> None:
        limits = [name for name in ("train_lists", "held_out_lists") if getattr(self, name) is not None]
        _at_least("graph", self, 1, "encode_batch", *limits)
        _positive("graph", self, "memory_gib")
        _at_least("graph", self, 20, "list_depth")  # the metrics look that deep
        fused, evidence = self.loss.fused_weight, self.model.evidence
        if fused > 0 and not evidence:
            raise ValueError(f"graph.loss.fused_weight needs graph.model.evidence=true, got {fused}; set it to 0")
        of_attention = ("next_item_weight", "infomax_weight", "align_weight")
        wrong = [name for name in of_attention if getattr(self.loss, name) > 0] if self.model.encoder == "late" else []
        if wrong:
            raise ValueError(f"graph.loss.{wrong[0]} needs graph.model.encoder=attention; set it to 0")
        if evidence and fused == 0:
            raise ValueError("graph.model.evidence needs graph.loss.fused_weight above 0, or its weights learn nothing")


def _at_least(section: str, config: object, least: int, *names: str) -> None:
    demand = f"at least {least}" if least else "0 or more"
    _check(section, config, names, lambda value: value >= least, demand)


def _positive(section: str, config: object, *names: str) -> None:
    _check(section, config, names, lambda value: value > 0, "positive")


def _share(section: str, config: object, *names: str) -> None:
    _check(section, config, names, lambda value: 0 <= value < 1, "at least 0 and below 1")


def _check(section: str, config: object, names: tuple[str, ...], holds: Callable[[float], bool], demand: str) -> None:
    for name in names:
        value: float = getattr(config, name)
        if not holds(value):
            raise ValueError(f"{section}.{name} must be {demand}, got {value}")
