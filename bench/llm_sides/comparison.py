"""What both sides of a comparison do, and what they start from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from training.base_files import find_base
from training.base_model import load_tokenizer_folder
from training.config import LlmConfig, ScratchConfig
from training.finetune import make_small_model

Measured = dict[str, Any]  # Any: seconds, cpu_seconds, peak_mib, losses


@dataclass(frozen=True)
class Comparison:
    """What both sides do."""

    base: str
    batch: int
    steps: int
    tokens: int
    precision: Literal["bf16", "fp32"]
    learn: Literal["answer", "prompt"]
    compile: bool
    twins: bool = False
    hidden: int = 256
    layers: int = 4
    """Of a `scratch` model."""

    @property
    def llm(self) -> LlmConfig:
        """Our side's section of a recipe."""
        return LlmConfig(
            precision=self.precision, global_batch=self.batch, per_device_batch=self.batch, learn=self.learn,
            compile=self.compile, twins=self.twins,
            scratch=ScratchConfig(hidden_size=self.hidden, num_layers=self.layers, num_heads=4),
        )  # fmt: skip


def fresh_model(comparison: Comparison, run_dir: Path) -> Any:  # Any: a transformers model
    """What both start from."""
    tokenizer = load_tokenizer_folder(run_dir / "prompts" / "tokenizer")
    return make_small_model(find_base(comparison.base), comparison.llm, tokenizer, comparison.tokens, seed=1)
