"""The sizes of a language model, read from its config.json, a GGUF file's head or the recipe; never its weights."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launch.artifacts import read_json
from launch.errors import InputError
from training.config import ScratchConfig
from training.plain_heads import PLAIN_HEADS
from training.prompts.config import PromptsConfig

NAMES = {
    "hidden": ("hidden_size", "n_embd", "d_model"),
    "layers": ("num_hidden_layers", "n_layer", "num_layers"),
    "heads": ("num_attention_heads", "n_head"),
    "inner": ("intermediate_size", "n_inner", "ffn_dim"),
    "vocabulary": ("vocab_size",),
}
"""What models call their sizes."""
EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")
UNGATED = {"gpt2", "gpt_neo", "gpt_neox", "gptj", "opt", "bloom", "phi", "falcon", "codegen"}
"""Feed-forward layers of two matrices; of three elsewhere."""


@dataclass(frozen=True)
class Shape:
    """A decoder of equal layers."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    inner: int
    """Width of the feed-forward layers that one token meets (of all its experts together)."""
    vocabulary: int
    tied: bool
    gated: bool = True
    experts: int = 1
    """Copies of the feed-forward layers; a token meets some of them, all are held."""
    met: int = 1
    plain_head: bool = True
    """Whether the loss is made at the head, in chunks."""

    @property
    def attention(self) -> int:
        """Parameters of a layer's four projections."""
        return self.hidden * self.head_dim * (2 * self.heads + 2 * self.kv_heads)

    @property
    def feed_forward(self) -> int:
        """Parameters of one expert."""
        return (3 if self.gated else 2) * self.hidden * self.inner

    @property
    def layer(self) -> int:
        """Parameters of a layer."""
        return self.attention + self.experts * self.feed_forward + 2 * self.hidden

    @property
    def table(self) -> int:
        """Parameters of the table of tokens."""
        return self.vocabulary * self.hidden

    @property
    def parameters(self) -> int:
        """All of them."""
        return self.layers * self.layer + self.table * (1 if self.tied else 2) + self.hidden

    @property
    def met_parameters(self) -> int:
        """Those that multiply one token; the input table is looked up."""
        of_layer = self.attention + self.met * self.feed_forward
        return self.layers * of_layer + self.table

    @property
    def largest_layer(self) -> int:
        """Parameters of the largest single matrix, as DeepSpeed's estimator counts."""
        return max(self.table, self.hidden * self.inner, self.hidden * self.heads * self.head_dim)


def shape_of(prompts: PromptsConfig, scratch: ScratchConfig, run_dir: Path) -> Shape:
    """The shape of the recipe's base model; InputError where its files do not say."""
    from training.base_files import find_base

    if prompts.base == "scratch":
        return of_scratch(scratch, _vocabulary(prompts, run_dir))
    path = Path(prompts.base).expanduser()
    if path.is_dir() and (path / "config.json").is_file():  # weights need not be there yet
        return of_config(read_json(path / "config.json"), where=f"prompts.base={prompts.base}")
    base = find_base(prompts.base, trust_remote_code=prompts.trust_remote_code, allow_pickle=prompts.allow_pickle)
    return of_gguf(base.files)


def of_scratch(scratch: ScratchConfig, vocabulary: int) -> Shape:
    """The small Llama of training.scratch."""
    inner = scratch.intermediate_size or -(-scratch.hidden_size * 8 // 3 // 64) * 64
    return Shape(
        hidden=scratch.hidden_size,
        layers=scratch.num_layers,
        heads=scratch.num_heads,
        kv_heads=scratch.num_heads,
        head_dim=scratch.hidden_size // scratch.num_heads,
        inner=inner,
        vocabulary=-(-vocabulary // 64) * 64,
        tied=scratch.tie_embeddings,
    )


def of_config(config: dict[str, Any], *, where: str) -> Shape:  # Any: plain JSON values
    """The shape that a config.json describes."""
    told = config.get("text_config", config) if isinstance(config, dict) else {}
    sizes: dict[str, int] = {}
    for size, names in NAMES.items():
        given = next((told[name] for name in names if isinstance(told.get(name), int)), None)
        if given is None and size == "inner" and "hidden" in sizes:
            given = 4 * sizes["hidden"]
        if given is None:
            raise InputError(f"{where}: config.json does not say {names[0]}; the plan needs it")
        sizes[size] = given
    experts = next((told[name] for name in EXPERTS if told.get(name)), 1)
    heads, kind = sizes["heads"], str(told.get("model_type", config.get("model_type")))
    return Shape(
        hidden=sizes["hidden"],
        layers=sizes["layers"],
        heads=heads,
        kv_heads=told.get("num_key_value_heads") or heads,
        head_dim=told.get("head_dim") or sizes["hidden"] // heads,
        inner=told.get("moe_intermediate_size") or sizes["inner"] if experts > 1 else sizes["inner"],
        vocabulary=sizes["vocabulary"],
        tied=bool(told.get("tie_word_embeddings", config.get("tie_word_embeddings", True))),
        gated=kind not in UNGATED,
        experts=experts,
        met=(told.get("num_experts_per_tok") or 1) if experts > 1 else 1,
        plain_head=kind in PLAIN_HEADS,
    )


def of_gguf(path: Path) -> Shape:
    """The shape that a GGUF file's head describes."""
    from gguf import GGUFReader

    try:
        reader = GGUFReader(path)
        kind = str(reader.fields["general.architecture"].contents())

        def field(name: str, default: int | None = None) -> int:
            held = reader.fields.get(f"{kind}.{name}")
            if held is None and default is not None:
                return default
            assert held is not None, name
            return int(held.contents())

        heads, hidden = field("attention.head_count"), field("embedding_length")
        return Shape(
            hidden=hidden,
            layers=field("block_count"),
            heads=heads,
            kv_heads=field("attention.head_count_kv", heads),
            head_dim=field("attention.key_length", hidden // heads),
            inner=field("feed_forward_length"),
            vocabulary=len(reader.fields["tokenizer.ggml.tokens"].data),
            tied=all(tensor.name != "output.weight" for tensor in reader.tensors),
            plain_head=kind in PLAIN_HEADS,
        )
    except (OSError, ValueError, KeyError, AssertionError, IndexError) as error:
        raise InputError(f"{path}: its head does not say the sizes of a language model ({error})") from error


def _vocabulary(prompts: PromptsConfig, run_dir: Path) -> int:
    meta = run_dir / "prompts" / "meta.json"
    if meta.is_file():
        told = read_json(meta)
        if isinstance(told, dict) and told.get("base") == "scratch":
            return int(told["vocab_size"])
    return prompts.scratch_vocab
