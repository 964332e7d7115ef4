"""How fast the fine-tune is, and what it holds: sums since the last line of the log, from which rates are made.

Only steps are timed, neither validations nor checkpoints. MFU is the share of the peak that the model's own arithmetic
takes: its FLOP a second over those of a bare matrix product, timed once on this rank, in the model's precision. Counted
are, a step, 6 FLOP a weight of the layers and token, 6 a weight of the head and scored token (4 where weights do not
learn), and 6 Q T of causal attention a layer and token of a prompt of T tokens, Q wide; recomputation does not count.
Of twins in one row what both say counts once; of a list attention counts as if every title saw those before it.
"""

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from launch.distributed import World
from training.lessons.batches import Data
from training.prompts.pieces import Ints
from training.tuning.layers import decoder_layers, head_of, whole_size

GIB = 2**30
PEAK_WIDTH = {"cpu": 1024, "cuda": 8192}
PEAK_TRIES = 4


@dataclass(frozen=True)
class Arithmetic:
    """What a step of a model costs, and what a rank could do."""

    per_token: float
    """FLOP of the layers' weights."""
    per_learnt: float
    """FLOP of the head."""
    per_square: float
    """FLOP of attention, of all layers, for a squared token of a prompt."""
    peak: float
    """FLOP a second of one rank."""

    def of(self, data: Data, rows: Ints) -> float:
        """FLOP of the samples `rows`, forward and backward."""
        work = data.work(rows)
        return self.per_token * work.tokens + self.per_square * work.squares + self.per_learnt * work.scored


@dataclass
class Meter:
    """Sums since the last line of the log; those of loss and learnt tokens go on where an earlier start was killed."""

    loss: torch.Tensor
    """On this rank."""
    learnt_tokens: int = 0
    """Of all ranks, as those below."""
    timed_learnt: int = 0
    timed_tokens: int = 0
    timed_samples: int = 0
    timed_steps: int = 0
    flop: float = 0.0
    seconds: float = 0.0
    """In steps."""
    data_seconds: float = 0.0
    """Of these, until a batch was there."""
    skipped: int = 0
    """Steps that left the weights as they were."""
    _began: float = field(default_factory=time.monotonic)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Around the making of a batch."""
        began = time.monotonic()
        yield
        self.data_seconds += time.monotonic() - began

    def begin(self) -> None:
        """A step begins."""
        self._began = time.monotonic()

    def end(self, data: Data, rows: Ints, arithmetic: Arithmetic) -> None:
        """It has ended; `rows` are those of all ranks."""
        self.seconds += time.monotonic() - self._began
        self.learnt_tokens += int(data.learnt_lengths[rows].sum())
        self.timed_learnt += int(data.learnt_lengths[rows].sum())
        self.timed_tokens += int(data.lengths[rows].sum())
        self.timed_samples += len(rows)
        self.timed_steps += 1
        self.flop += arithmetic.of(data, rows)

    def rates(self, arithmetic: Arithmetic, world: World) -> dict[str, float]:
        """By name, the same on all ranks but for what only rank 0 logs. Call on all ranks."""
        if not self.timed_steps:
            return {}
        reached = self.flop / self.seconds
        timed = float(world.sum(torch.tensor(arithmetic.peak, dtype=torch.float64)))
        peak = max(timed, reached)  # one that was timed beside other work may lie below what steps reach without it
        memory = max(world.gather_objects(peak_memory(world.device)))
        return {
            "tokens_per_second": self.timed_tokens / self.seconds,
            "learnt_tokens_per_second": self.timed_learnt / self.seconds,
            "samples_per_second": self.timed_samples / self.seconds,
            "step_seconds": self.seconds / self.timed_steps,
            "data_seconds": self.data_seconds / self.timed_steps,
            "mfu": reached / peak,
            "memory_gib": memory / GIB,
            "skipped_steps": self.skipped,
        }


def count_arithmetic(model: nn.Module, *, peak: float) -> Arithmetic:
    """Of a decoder, partitioned or not; all that is not in a list of layers counts as the head's."""
    layers = decoder_layers(model)
    inside = [linear for layer in layers for linear in layer.modules() if isinstance(linear, nn.Linear)]
    head = head_of(model)
    width = sum(_query_width(layer) for layer in layers)
    return Arithmetic(
        per_token=sum(_flop(linear) for linear in inside),
        per_learnt=_flop(head) if head is not None else 0.0,
        per_square=6.0 * width,
        peak=peak,
    )


def measure_peak(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP a second of a square matrix product on `device`: the best of a few."""
    width = PEAK_WIDTH[device.type]
    left, right = (torch.ones((width, width), device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(PEAK_TRIES):
        began = time.perf_counter()
        left @ right
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - began)
    return 2.0 * width**3 / best


def peak_memory(device: torch.device) -> float:
    """Bytes that this rank has held at most: of its GPU, or of the machine's memory."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    status = Path("/proc/self/status")
    if status.is_file():
        words = next((line for line in status.read_text(encoding="ascii").splitlines() if line[:6] == "VmHWM:"), None)
        if words is not None:
            return float(words.split()[1]) * 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * 1024


def _flop(linear: nn.Linear) -> float:
    assert isinstance(linear.weight, nn.Parameter)
    return (6.0 if linear.weight.requires_grad else 4.0) * whole_size(linear.weight)


def _query_width(layer: nn.Module) -> int:
    """Numbers of a token's queries: rows of the first projection that is named so."""
    for name, module in layer.named_modules():
        if isinstance(module, nn.Linear) and ".q_proj" in f".{name}":  # with adapters, the linear inside comes first
            return module.out_features
    return 0
