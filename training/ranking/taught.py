"""What a run's language model was taught, and how much it was taught to take off a title's likelihood."""

from dataclasses import dataclass
from pathlib import Path

from launch.artifacts import read_json
from training.config import ListScoreName, LlmConfig, Task


@dataclass(frozen=True)
class Taught:
    """As llm/engine.json says."""

    task: Task
    score: ListScoreName
    prior_weight: float | None
    """None: it was not taught to rank by titles."""


def read_taught(run_dir: Path) -> Taught:
    """Of a run without a fine-tune: to write."""
    path = run_dir / "llm" / "engine.json"
    said = read_json(path) if path.is_file() else {}
    return Taught(said.get("task", "write"), said.get("score", "verdict"), said.get("prior_weight"))


def taught_prior_weight(config: LlmConfig, run_dir: Path) -> float:
    """What the lists of a fine-tune take off: what the recipe says, or what suits its base."""
    return usual_prior_weight(run_dir) if config.prior_weight is None else config.prior_weight


def usual_prior_weight(run_dir: Path) -> float:
    """0 for a model from scratch, whose prior is how often a title is bought; 1 for one that has read other texts."""
    return 0.0 if read_json(run_dir / "prompts" / "meta.json")["base"] == "scratch" else 1.0
