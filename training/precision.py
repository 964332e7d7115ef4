"""The arithmetic that a language model is loaded with: what the recipe says, or what the device computes natively."""

import torch

from training.config import Precision, PrecisionChoice

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


def resolve_precision(choice: PrecisionChoice, device: torch.device) -> Precision:
    """`choice`; auto: bf16 where `device` computes it natively (elsewhere it is emulated, slowly), else fp32."""
    if choice != "auto":
        return choice
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if torch.cpu.get_capabilities().get("avx512_bf16", False) else "fp32"
