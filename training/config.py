"""What the fine-tune is told. What prompts and answers are, prompts/config.py and answers/config.py say."""

from dataclasses import dataclass, field
from typing import Literal

from launch.options.fields import Decides, Means

Task = Literal["write", "rank", "both"]
Learn = Literal["answer", "items", "prompt"]
ListScoreName = Literal["title", "verdict"]
Precision = Literal["bf16", "fp32"]
PrecisionChoice = Literal["auto", "bf16", "fp32"]
TITLE_TEMPERATURE = 16.0
AttentionChoice = Literal["auto", "eager", "sdpa", "flash"]
OptimizerName = Literal["adamw", "adamw_8bit"]
BaseBits = Literal["whole", "nf4"]
Judge = Literal["loss", "auc"]


@dataclass(frozen=True, kw_only=True)
class ScratchConfig:
    """The small Llama that is built when `prompts.base` is `scratch`."""

    hidden_size: Decides[int] = 256
    """Width."""
    num_layers: Decides[int] = 4
    """Decoder layers."""
    num_heads: Decides[int] = 4
    """Attention heads; they divide the width."""
    intermediate_size: Decides[int | None] = None
    """Width of the feed-forward layers; null: 8/3 of hidden_size, rounded up to 64."""
    tie_embeddings: Decides[bool] = True
    """One table for input and output tokens."""

    def __post_init__(self) -> None:
        at_least("llm.scratch", self, 1, "hidden_size", "num_layers", "num_heads", "intermediate_size")
        if self.hidden_size % (2 * self.num_heads):
            raise ValueError(
                f"llm.scratch.hidden_size must be a multiple of 2 * num_heads, got {self.hidden_size} with "
                f"{self.num_heads} heads"
            )


@dataclass(frozen=True, kw_only=True)
class LoraConfig:
    """Low-rank adapters instead of full fine-tuning; merged into the final model."""

    enabled: Decides[bool] = False
    """Train adapters only."""
    rank: Decides[int] = 8
    """Rank of the adapters (URLLM: 8)."""
    alpha: Decides[float] = 16.0
    """Scale of the adapters, over the rank (URLLM: 16)."""
    dropout: Decides[float] = 0.0
    """Dropout on the adapters' input."""
    base: Decides[BaseBits] = "whole"
    """The weights beside the adapters: whole; or nf4, in 4 bits (QLoRA; needs bitsandbytes, and a DeepSpeed file that
    does not partition weights: zero2)."""
    target_modules: Decides[list[str]] = field(default_factory=lambda: ["q_proj", "k_proj", "v_proj", "o_proj"])
    """Names of the linear layers that get adapters."""

    def __post_init__(self) -> None:
        at_least("llm.lora", self, 1, "rank")
        if self.base != "whole" and not self.enabled:
            raise ValueError(f"llm.lora.base={self.base} needs llm.lora.enabled=true: weights of 4 bits cannot learn")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"llm.lora.dropout must be in [0, 1), got {self.dropout}")
        if not self.target_modules:
            raise ValueError("llm.lora.target_modules must name at least one linear layer")


@dataclass(frozen=True, kw_only=True)
class LlmConfig:
    """Full fine-tuning under DeepSpeed. The model itself is `prompts.base`."""

    deepspeed: Decides[str] = "zero3"
    """Name of a file in ds_configs/ (zero3, zero3_multinode, zero3_offload, zero2) or a path to a DeepSpeed JSON
    file."""
    precision: Decides[PrecisionChoice] = "bf16"
    """Arithmetic of the model; the optimizer has fp32 weights either way. auto: bf16 where the device multiplies such
    matrices natively (on CPUs: AMX, AVX-512 BF16), else fp32; llm/engine.json says which."""
    task: Decides[Task] = "write"
    """What is taught. write: the target's title; rank: to put the target first among candidates, all of which one
    forward pass reads; both."""
    score: Decides[ListScoreName] = "title"
    """What ranks a candidate. title: log p(its title | prompt), less `prior_weight` times that without any history;
    verdict: whether the model says yes behind it, which small models do not learn."""
    prior_weight: Decides[float | None] = None
    """Only read where `score` is title. null: 0 for a model from `scratch`, 1 for others; see
    `generation.prior_weight`."""
    temperature: Decides[float | None] = None
    """Scores are divided by it before the softmax over a list. null: 16 for titles, whose likelihoods differ by dozens,
    1 for verdicts."""
    negatives: Decides[int] = 15
    """Candidates that stand beside the target in a list to learn from, drawn by the seed."""
    added_targets: Decides[float] = 0.0
    """Share of the train samples whose target is not among their candidates that are learnt from all the same, with the
    target put in. It is then the one that does not belong, which a model learns to see."""
    learn: Decides[Learn] = "answer"
    """Tokens that are learnt to be written: the answer's alone; those of items, own and kindred users', as well, but
    for the first line, before which nothing is known; or the whole prompt's (URLLM; and a `scratch` model, which has
    read nothing before, learns from each line as from an answer). Validation measures the answers either way."""
    optimizer: Decides[OptimizerName] = "adamw"
    """adamw; or adamw_8bit, whose moments take 2 bytes a trained parameter in place of 8 (needs bitsandbytes, not where
    the DeepSpeed file offloads the optimizer)."""
    lr: Decides[float] = 2e-5
    """Peak learning rate after warm-up."""
    min_lr_ratio: Decides[float] = 0.1
    """Learning rate at the end of the cosine, as a share of the peak."""
    warmup_ratio: Decides[float] = 0.03
    """Share of the steps that warm up."""
    weight_decay: Decides[float] = 0.0
    """AdamW's weight decay, on matrices only."""
    clip_norm: Decides[float] = 1.0
    """Gradients are clipped to this norm."""
    skip_spikes: Decides[float | None] = None
    """Leave the weights as they are in a step whose loss is over this many times that of the steps before (their
    running mean); null: never."""
    epochs: Decides[float] = 3.0
    """Passes over the training prompts; a fraction is allowed."""
    max_steps: Decides[int | None] = None
    """Stop after this many optimizer steps, epochs or not; the cosine ends there."""
    global_batch: Decides[int] = 32
    """Samples in an optimizer step over all ranks; results do not depend on how ranks share it."""
    per_device_batch: Means[int] = 8
    """Samples a rank runs forward and backward at once, with `twins` an even number; the rest is accumulated."""
    twins: Decides[bool] = False
    """Read two prompts of one user as one where they begin alike (needs `prompts.order: own_first`), so that this is
    read once: the losses of the two apart, both in one step. For `task: write` and even batches."""
    gradient_checkpointing: Means[bool] = False
    """Recompute activations in the backward pass: less memory, a third more time."""
    attention: Means[AttentionChoice] = "auto"
    """How attention is computed; all give the same up to rounding. auto: `flash` on GPUs where the package flash_attn
    is installed and nothing has a mask of its own (lists, twins), elsewhere `sdpa`, but `eager` on CPUs in bf16, where
    it is the faster one."""
    liger: Means[bool] = False
    """Let the package liger_kernel compute norms, rotations and gates, each in one GPU kernel; the same up to
    rounding."""
    compile: Means[bool] = False
    """Compile every decoder layer at the start (a minute, once): faster steps, the same up to rounding."""
    eval_every: Decides[int] = 100
    """Steps between measurements on valid; there is one at the end as well."""
    eval_samples: Decides[int | None] = 256
    """Validation samples of a measurement, drawn by the seed; null: all."""
    judge: Decides[Judge] = "loss"
    """What a measurement is judged by. loss; or auc: the share of `negatives` other candidates that a target beats by
    `score`, the mean over `eval_samples` lists of valid that hold theirs (of a model that learns to write they are read
    beside the loss)."""
    patience: Decides[int | None] = None
    """Validations without a better one, by `judge`, after which training ends; null: it goes on."""
    keep: Decides[Literal["best", "last"]] = "best"
    """Final weights: those of the best validation, by `judge`, or of the last step."""
    checkpoint_every: Means[int] = 100
    """Steps between checkpoints to resume from."""
    checkpoint_minutes: Means[float | None] = 30.0
    """Minutes after which there is another checkpoint, however few steps they were; null: by steps alone."""
    log_every: Means[int] = 10
    """Steps between lines of the log."""
    scratch: ScratchConfig = field(default_factory=ScratchConfig)
    """Size of the model when `prompts.base` is `scratch`."""
    lora: LoraConfig = field(default_factory=LoraConfig)
    """Adapters instead of full fine-tuning."""

    def __post_init__(self) -> None:
        if self.lr <= 0:
            raise ValueError(f"llm.lr must be positive, got {self.lr}")
        if self.epochs <= 0:
            raise ValueError(f"llm.epochs must be positive, got {self.epochs}")
        if self.clip_norm <= 0:
            raise ValueError(f"llm.clip_norm must be positive, got {self.clip_norm}")
        if self.skip_spikes is not None and self.skip_spikes <= 1:
            raise ValueError(f"llm.skip_spikes must be above 1, got {self.skip_spikes}")
        if self.weight_decay < 0:
            raise ValueError(f"llm.weight_decay must not be negative, got {self.weight_decay}")
        if self.temperature is not None and self.temperature <= 0:
            raise ValueError(f"llm.temperature must be positive, got {self.temperature}")
        if self.twins and (self.task != "write" or self.per_device_batch % 2 or self.global_batch % 2):
            raise ValueError(
                "llm.twins=true needs llm.task=write and even numbers in llm.per_device_batch and llm.global_batch, "
                f"got {self.task}, {self.per_device_batch} and {self.global_batch}"
            )
        at_least("llm", self, 0, "prior_weight")
        for name in ("min_lr_ratio", "warmup_ratio", "added_targets"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"llm.{name} must be in [0, 1], got {getattr(self, name)}")
        at_least("llm", self, 1, "negatives", "max_steps", "global_batch", "per_device_batch", "eval_samples")
        at_least("llm", self, 1, "eval_every", "checkpoint_every", "log_every", "patience")
        if self.checkpoint_minutes is not None and self.checkpoint_minutes <= 0:
            raise ValueError(f"llm.checkpoint_minutes must be positive, got {self.checkpoint_minutes}")

    @property
    def together(self) -> int:
        """Samples that one rank reads together."""
        return 2 if self.twins else 1

    @property
    def resolved_temperature(self) -> float:
        """`temperature`, or what null means for this score."""
        if self.temperature is not None:
            return self.temperature
        return TITLE_TEMPERATURE if self.score == "title" else 1.0


def at_least(section: str, config: object, least: int, *names: str) -> None:
    """ValueError where a key of a section is below `least`; null is not."""
    for name in names:
        value = getattr(config, name)
        if value is not None and value < least:
            raise ValueError(f"{section}.{name} must be at least {least}, got {value}")
