"""Memory of a rank of the fine-tune at its peak, under a DeepSpeed file: states, gathered weights, activations, logits.

What is counted, in bytes (s a number of the model's arithmetic: 2 in bf16, 4 in fp32; N ranks; P parameters, T of them
trained):

    weights       s P / N under ZeRO-3, s P below it; in 4 bits half a byte each in the linear layers
    master        4 T / N: fp32 weights that the optimizer works on
    moments       8 T / N; 2 T / N in 8 bits
    gradients     4 T / N, summed in fp32
    gathered      s min(P, live): whole layers while they are at work (ZeRO-3)
    activations   what the backward pass needs of each layer, or with checkpointing of one and each one's input
    kept          of a large model on a CPU, in the C library's heap: smaller blocks of activations that were freed
                  (training.tuning.allocator; measured)
    logits        of a chunk of learnt tokens, 8 + s a token and word; the table's gradient, which is made with them
                  (training.tuning.head); 12 of all where the model is none whose loss is made so
    step          the optimizer's own copies: gradients made flat; fused AdamW has no temporaries

The first four stay. On top lie gathered weights, activations and logits in a backward pass, the step's copies after it:
the larger of the two makes the peak.
"""

from dataclasses import dataclass
from typing import Any

from launch.plan.estimates import MIB, Need
from training.plain_heads import CHUNK_NUMBERS
from training.plan.shapes import Shape
from training.tuning.allocator import LARGE

LOGIT_BYTES = 12
CHUNK_BYTES = 8
"""Scores and exponentials of a chunk in fp32; in bf16 there are the scores and their gradient in bf16 as well."""
STEP_BYTES = 4
APART_BYTES = 21
"""With moments of 8 bits on a CPU, where a step takes all of them apart (measured: 23 with the moments)."""
FOUR_BITS = 0.52
"""Bytes of a weight in 4 bits, its share of the scales included."""
CPU_OVERHEAD = 15 * MIB
"""What DeepSpeed's start takes of a rank's memory on CPUs, whatever the model, beside 45 MiB of libraries."""
KEPT_SHARE = 0.3
"""Of the activations: what blocks too small to go back to the system leave behind."""
SUB_GROUP = 10**9
"""Parameters that ZeRO-3 updates at a time, unless its file says otherwise."""


@dataclass(frozen=True)
class Load:
    """What one forward pass of a rank reads."""

    rows: int
    tokens: int
    """Of a row, the answer included."""
    learnt: int
    """Of a row."""
    number: int
    """Bytes of a number of the model's arithmetic."""
    checkpointing: bool
    trained: int
    """Parameters that learn."""
    on_gpu: bool
    eager: bool = False
    """Whether attention holds the probabilities of all pairs of tokens."""
    frozen: float | None = None
    """Bytes of a weight that does not learn, embeddings apart; None: as all others."""
    moments: int = 8
    """Bytes of the optimizer's moments of a parameter."""
    step: int = STEP_BYTES
    """Bytes of a parameter that a step needs beside."""


@dataclass(frozen=True)
class Engine:
    """What a DeepSpeed file says about memory."""

    stage: int
    host_optimizer: bool
    host_weights: bool
    shards: int | None
    """Ranks that share one copy of the states (MiCS); None: all."""
    second_copy: int | None
    """Ranks that share a further copy of the weights (hpZ)."""
    live: int
    """Parameters that may be gathered at once."""
    sub_group: int


def engine_of(settings: dict[str, Any], processes: int = 1) -> Engine:  # Any: plain JSON values
    """Read a DeepSpeed file; `processes` are the ranks of a node, for which "auto" stands in hierarchical ones."""
    zero = {
        key: processes if value == "auto" and key in {"mics_shard_size", "zero_hpz_partition_size"} else value
        for key, value in settings["zero_optimization"].items()
    }
    return Engine(
        stage=int(zero.get("stage", 0)),
        host_optimizer=_elsewhere(zero.get("offload_optimizer")),
        host_weights=_elsewhere(zero.get("offload_param")),
        shards=_positive(zero.get("mics_shard_size")),
        second_copy=_positive(zero.get("zero_hpz_partition_size"), least=2),
        live=_number(zero.get("stage3_max_live_parameters"), 10**9),
        sub_group=_number(zero.get("sub_group_size"), SUB_GROUP),
    )


def peak_parts(shape: Shape, load: Load, engine: Engine, *, ranks: int) -> tuple[list[Need], list[Need]]:
    """(what lies on the rank's device, what it keeps in host memory instead) at the peak."""
    whole, trained, s = shape.parameters, load.trained, load.number
    shared = ranks if engine.shards is None else min(engine.shards, ranks)
    of_weights = shared if engine.stage >= 3 else 1
    of_optimizer = shared if engine.stage >= 1 else 1
    of_gradients = shared if engine.stage >= 2 else 1
    packed = 0.0
    if load.frozen is not None:  # experts lie in one parameter each, which is no linear layer
        packed = (s - load.frozen) * shape.layers * (shape.attention + (shape.experts == 1) * shape.feed_forward)
    weights = Need("parameters", (s * whole - packed) / of_weights)
    optimizer = [
        Need("master weights", 4 * trained / of_optimizer),
        Need("moments", load.moments * trained / of_optimizer),
    ]
    gradients = Need("gradients", 4 * trained / of_gradients)
    step = Need("optimizer's step", load.step * min(trained / of_optimizer, engine.sub_group))
    device = [] if engine.host_weights else [weights]
    host = [weights] if engine.host_weights else []
    (host if engine.host_optimizer else device).extend([*optimizer, gradients])
    gathered = s * min(whole, engine.live) if of_weights > 1 or engine.host_weights else 0.0
    if not load.on_gpu:
        device.append(Need("DeepSpeed's own", CPU_OVERHEAD))
    if engine.second_copy is not None and engine.stage >= 3:
        device.append(Need("second copy of the weights", s * whole / engine.second_copy))
    at_work = [
        Need("gathered layers", gathered),
        Need("activations", activation_bytes(shape, load)),
        Need("logits", logit_bytes(shape, load)),
    ]
    if not load.on_gpu and whole >= LARGE:
        at_work.append(Need("freed and kept", KEPT_SHARE * at_work[1].size))
    if engine.host_optimizer:
        host.append(step)
        return [*device, *at_work], host
    worst = at_work if sum(part.size for part in at_work) > step.size else [step]
    return [*device, *(part for part in worst if part.size)], host


def activation_bytes(shape: Shape, load: Load) -> float:
    """What the layers keep for the backward pass; of length x length only the mask, unless attention is eager."""
    tokens = load.rows * load.tokens
    of_layer = tokens * token_bytes(shape, load.number) + load.rows * load.tokens**2 * load.number
    if load.eager:
        # Softmax keeps its result in fp32, the product with the values keeps it in its own number; the keys and values
        # of a group of heads are repeated for each of them.
        probabilities = 4 if load.number == 4 else 4 + load.number
        repeated = 2 * load.number * (shape.heads - shape.kv_heads) * shape.head_dim
        of_layer += load.rows * load.tokens**2 * shape.heads * probabilities + tokens * repeated
    if not load.checkpointing:
        return shape.layers * of_layer
    return shape.layers * tokens * shape.hidden * load.number + of_layer


def token_bytes(shape: Shape, number: int) -> float:
    """A layer's, for one token. Norms work in fp32: in bf16 their inputs are kept there as well.

    Two norms keep input, normed input and output; attention queries, keys, values and its output; a gated feed-forward
    layer the gate before and after its function, the other branch and the product.
    """
    h, q, kv = shape.hidden, shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    norms = 2 * h * (4 + 2 * number) if number < 4 else 2 * h * 3 * number
    attention = number * (2 * q + 2 * kv)
    feed_forward = number * shape.met * shape.inner * (4 if shape.gated else 2)
    return norms + attention + feed_forward


def logit_bytes(shape: Shape, load: Load) -> float:
    """Of the learnt tokens' scores over the vocabulary, and of what is made of them at once."""
    learnt = load.rows * load.learnt
    if not shape.plain_head:
        return LOGIT_BYTES * (learnt + load.rows) * shape.vocabulary
    chunk = min(learnt, max(1, CHUNK_NUMBERS // shape.vocabulary))
    scores = chunk * shape.vocabulary * (CHUNK_BYTES + (load.number if load.number < 4 else 0))
    if load.trained < shape.parameters:  # adapters: the table learns nothing
        return scores
    summed = 4 if learnt > chunk else 0  # of several chunks
    return scores + shape.table * (load.number + summed)


def _elsewhere(section: object) -> bool:
    return isinstance(section, dict) and section.get("device", "none") not in {"none", None}


def _positive(value: object, least: int = 1) -> int | None:
    return int(value) if isinstance(value, (int, float)) and value >= least else None


def _number(value: object, default: int) -> int:
    return int(value) if isinstance(value, (int, float)) else default
