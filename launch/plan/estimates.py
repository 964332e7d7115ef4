"""What a stage is going to need, and for what it was worked out. Bytes and seconds; nothing heavy is imported."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from launch.config import Recipe
from launch.plan.counts import PairSizes

GIB, MIB = 2**30, 2**20
FP32_OF_GPUS = 1 / 16
"""Of their bf16, outside the units that round (torch's default): A100 19.5 of 312 TFLOP/s, H100 67 of 989."""


@dataclass(frozen=True)
class Need:
    """One named share of a need."""

    name: str
    size: float
    """Bytes."""


@dataclass(frozen=True)
class Machine:
    """Where the ranks are going to run."""

    nodes: int
    processes: int
    """Ranks of each node."""
    gpu_memory: float | None
    """Bytes of each rank's GPU; None: ranks compute on CPUs."""
    flops: float
    """Of one rank at its peak, a second: bf16 on GPUs, fp32 on CPUs."""
    utilisation: float
    """The share of that peak which training is taken to reach."""

    @property
    def ranks(self) -> int:
        """Of all nodes."""
        return self.nodes * self.processes

    @property
    def on_gpus(self) -> bool:
        """Whether a rank's memory is that of a GPU."""
        return self.gpu_memory is not None

    @property
    def fp32_flops(self) -> float:
        """Of one rank at its peak, a second, in fp32."""
        return self.flops * FP32_OF_GPUS if self.on_gpus else self.flops


@dataclass(frozen=True)
class Setting:
    """For what a stage is estimated."""

    recipe: Recipe
    run_dir: Path
    counts: PairSizes
    machine: Machine

    @property
    def asking_train(self) -> int:
        """Train samples that kindred users are sought for, and prompts may be made of."""
        graph = self.recipe.sections["graph"]
        listed = graph.train_lists if graph.model.evidence else None
        return self.counts.train if listed is None else min(listed, self.counts.train)

    @property
    def asking_held_out(self) -> int:
        """Samples of valid and test that are asked about."""
        listed = self.recipe.sections["graph"].held_out_lists
        return self.counts.held_out if listed is None else min(2 * listed, self.counts.held_out)


@dataclass(frozen=True)
class EngineOption:
    """One way to run a stage, beside others: an engine's file, say."""

    name: str
    memory: float
    """Bytes a rank, on its GPU or, without GPUs, of the host."""
    host: float
    """Bytes of a node's memory beside that."""
    fits: bool
    note: str = ""


@dataclass(frozen=True)
class Estimate:
    """What one stage needs."""

    stage: str
    memory: Sequence[Need] = ()
    """Of a rank's GPU, or without GPUs of its process beyond its libraries, at the peak."""
    host: Sequence[Need] = ()
    """Of a node's memory, all its ranks together, beside that."""
    disk: Sequence[Need] = ()
    """In the run folder, at the most."""
    seconds: float | None = None
    how: str = ""
    """How the seconds were worked out."""
    choices: Sequence[EngineOption] = ()
    advice: Sequence[str] = ()
    """Whole lines worth a warning."""
    notes: Sequence[str] = field(default=())
    model: tuple[int, int] | None = None
    """(parameters, those of the largest layer) of a language model under DeepSpeed."""

    @property
    def rank_memory(self) -> float:
        """Bytes of a rank."""
        return total(self.memory)


def total(parts: Sequence[Need]) -> float:
    """Bytes of all parts."""
    return sum(part.size for part in parts)
