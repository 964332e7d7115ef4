"""The fine-tune's loss: cross-entropy of the tokens that are learnt: the answers', or the whole prompts'."""

from typing import Any

import torch
import torch.nn.functional as F

from training.lessons.batches import IGNORED, PaddedPrompts
from training.lessons.twins import TwinRows


def learnt_loss(
    model: Any, batch: PaddedPrompts, *, fused: bool = False
) -> torch.Tensor:  # Any: a transformers model, bare or under DeepSpeed
    """The sum (not the mean) of -log p(token) over the learnt tokens: a scalar in fp32.

    Sums can be added over micro-steps and ranks and divided by the number of tokens once. What is learnt ends in the
    last column, so the vocabulary's logits are computed for the last A + 1 positions only.

    Args:
        fused: the model was given to `fuse_head`, which is as good and holds no table of logits.
    """
    if fused:
        loss: torch.Tensor = model(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            position_ids=batch.position_ids,
            learnt_labels=batch.labels,
        )
        return loss
    A = batch.labels.shape[1]
    output = model(
        input_ids=batch.input_ids,
        attention_mask=batch.attention_mask,
        position_ids=batch.position_ids,
        logits_to_keep=A + 1,
        use_cache=False,
    )
    logits_BAV = output.logits[:, -A - 1 : -1] if batch.input_ids.shape[1] > A else output.logits[:, -A:]
    return F.cross_entropy(
        logits_BAV.float().reshape(-1, logits_BAV.shape[-1]),
        batch.labels.reshape(-1),
        ignore_index=IGNORED,
        reduction="sum",
    )


def twin_loss(
    model: Any, batch: TwinRows, *, fused: bool = False
) -> torch.Tensor:  # Any: a transformers model, bare or under DeepSpeed
    """`learnt_loss` of the prompts in these rows: the same, as if each stood alone."""
    at, inputs = (batch.row, batch.before), batch.inputs(model)
    if fused:
        loss: torch.Tensor = model(**inputs, learnt_labels=batch.label, learnt_at=at, learnt_times=batch.times)
        return loss
    return -(said_at(model, inputs, at, batch.label, fused=False) * batch.times).sum()


def said_at(
    model: Any, inputs: dict[str, Any], at: tuple[torch.Tensor, torch.Tensor], labels_N: torch.Tensor, *, fused: bool
) -> torch.Tensor:  # Any: a transformers model, bare or under DeepSpeed; its arguments
    """[N] log p of labels after the rows and columns `at`, with gradients."""
    if fused:
        said_N: torch.Tensor = model(**inputs, learnt_labels=labels_N, learnt_at=at)
        return said_N
    kept = torch.unique(at[1]) if len(labels_N) else at[1].new_zeros(1)
    logits_BKV = model(**inputs, logits_to_keep=kept).logits
    logits_NV = logits_BKV[at[0], torch.searchsorted(kept, at[1])].float()
    return torch.log_softmax(logits_NV, dim=1).gather(1, labels_N[:, None])[:, 0]
