"""The arithmetic that a language model is loaded with: what the recipe says, or what the device computes natively."""

import torch

from training.config import Precision, PrecisionChoice

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


def resolve_precision(choice: PrecisionChoice, device: torch.device) -> Precision:
    """`choice`; auto: bf16 where `device` multiplies matrices of it natively, else fp32.

    On CPUs that is AMX. Dot products alone (AVX-512 BF16) train SmolLM2-135M at .7 of fp32's speed."""
    if choice != "auto":
        return choice
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if torch.cpu.get_capabilities().get("amx_bf16", False) else "fp32"
