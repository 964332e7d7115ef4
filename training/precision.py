"""The arithmetic that a language model is loaded with: what the recipe says, or what the device computes natively."""

import torch

from training.config import Precision, PrecisionChoice

NATIVE = ("amx_bf16", "avx512_bf16")
"""What a processor has that multiplies matrices of bf16."""
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


def resolve_precision(choice: PrecisionChoice, device: torch.device) -> Precision:
    """`choice`; auto: bf16 where `device` multiplies matrices of it natively, else fp32.

    On CPUs those are AMX and the dot products of AVX-512, with which SmolLM2-135M and a model a twentieth of its size
    train 1.6 times as fast."""
    if choice != "auto":
        return choice
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    processor = torch.cpu.get_capabilities()
    return "bf16" if any(processor.get(name, False) for name in NATIVE) else "fp32"
