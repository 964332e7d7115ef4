"""Which models' losses are made at their heads, and in what pieces; the plan of memory reads it, too."""

CHUNK_NUMBERS = 1 << 23
"""Scores that are held at once: 32 MiB in fp32."""
PLAIN_HEADS = {"llama", "mistral", "mixtral", "qwen2", "qwen2_moe", "qwen3", "smollm3", "phi3", "olmo2", "starcoder2"}
"""Models whose scores are those of the head as they are; others scale, cap or bend them first."""
