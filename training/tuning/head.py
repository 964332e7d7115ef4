"""The loss at the head of the model without the table of its scores: what is learnt, a few tokens at a time.

    L = sum_n (log sum_v exp(h_n . w_v) - h_n . w_{y_n})      dL/dh_n = sum_v (p_nv - [v = y_n]) w_v

The usual form holds scores, their logarithms of softmax and their gradient of all N tokens over all V words, 12 N V
bytes. Here both gradients are made in the forward pass, chunk by chunk, so that 12 CHUNK_NUMBERS bytes are held
whatever N is; only learnt tokens are scored, and none of padding.

Letters: B prompts, T tokens, A learnt positions, N learnt tokens of all prompts, H width, V words.
"""

from collections.abc import Iterator
from types import MethodType
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from training.lessons.batches import IGNORED
from training.plain_heads import CHUNK_NUMBERS, PLAIN_HEADS
from training.tuning.layers import head_of, plain_model


def fuse_head(model: nn.Module) -> bool:
    """Teach `model`, in place, to take `learnt_labels` and to answer with the loss; False where its scores are not
    simply its head's (then nothing is changed)."""
    plain = plain_model(model)
    if plain is None or plain.config.model_type not in PLAIN_HEADS:
        return False
    head = head_of(plain)
    if type(head) is not nn.Linear or head.bias is not None:  # an adapter on the head is another class
        return False
    head.forward = MethodType(_score, head)
    plain.forward = MethodType(_forward, plain)
    return True


def summed_loss(
    hidden_NH: torch.Tensor, weight_VH: torch.Tensor, labels_N: torch.Tensor, times_N: torch.Tensor | None = None
) -> torch.Tensor:
    """The sum of -log p(label) over N tokens, each counted so many `times`, a scalar in fp32, with gradients to hidden
    states and weight."""
    loss: torch.Tensor = _LinearLoss.apply(  # type: ignore[no-untyped-call]  # torch's
        hidden_NH, weight_VH, labels_N, times_N
    )
    return loss


def log_probabilities(hidden_NH: torch.Tensor, weight_VH: torch.Tensor, labels_N: torch.Tensor) -> torch.Tensor:
    """log p(label) of N tokens [N] in fp32, with gradients to both tensors."""
    said_N: torch.Tensor = _LogProbabilities.apply(  # type: ignore[no-untyped-call]  # torch's
        hidden_NH, weight_VH, labels_N
    )
    return said_N


class _LinearLoss(torch.autograd.Function):
    """Both gradients made in the forward pass; the backward pass scales them."""

    @staticmethod
    def forward(
        ctx: Any,  # Any: autograd's context
        hidden_NH: torch.Tensor,
        weight_VH: torch.Tensor,
        labels_N: torch.Tensor,
        times_N: torch.Tensor | None,
    ) -> torch.Tensor:
        to_hidden, to_weight, *_ = ctx.needs_input_grad
        rows = max(1, CHUNK_NUMBERS // weight_VH.shape[0])
        loss = hidden_NH.new_zeros((), dtype=torch.float32)
        of_hidden = torch.zeros_like(hidden_NH) if to_hidden else None
        of_weight: torch.Tensor | None = None
        for start in range(0, len(labels_N), rows):
            hidden, labels = hidden_NH[start : start + rows], labels_N[start : start + rows, None]
            scores = slope = None  # those of the chunk before go before these come
            scores = (hidden @ weight_VH.T).float()
            norms = scores.logsumexp(dim=1, keepdim=True)
            of_each = norms - scores.gather(1, labels)
            times = None if times_N is None else times_N[start : start + rows, None]
            loss += (of_each if times is None else of_each * times).sum()
            if of_hidden is None and not to_weight:
                continue
            slope = scores.sub_(norms).exp_()
            slope.scatter_add_(1, labels, torch.full_like(norms, -1))
            slope = (slope if times is None else slope.mul_(times)).to(hidden.dtype)
            if of_hidden is not None:
                torch.mm(slope, weight_VH, out=of_hidden[start : start + rows])
            if to_weight:
                part = slope.T @ hidden
                if of_weight is None:  # several parts are summed in fp32
                    of_weight = part if rows >= len(labels_N) else part.float()
                else:
                    of_weight += part
        if to_weight and of_weight is None:
            of_weight = torch.zeros_like(weight_VH)
        ctx.save_for_backward(of_hidden, of_weight)
        ctx.dtype = weight_VH.dtype
        return loss

    @staticmethod
    def backward(ctx: Any, slope: torch.Tensor) -> Any:  # Any: autograd's context, a gradient or None for each input
        of_hidden, of_weight = ctx.saved_tensors  # ours alone and used once, so they are scaled in place
        return (
            None if of_hidden is None else of_hidden.mul_(slope),
            None if of_weight is None else of_weight.mul_(slope).to(ctx.dtype),
            None,
            None,
        )


class _LogProbabilities(torch.autograd.Function):
    """Of every token its own, so that what is made of them may weigh them as it likes: scores are made twice."""

    @staticmethod
    def forward(
        ctx: Any, hidden_NH: torch.Tensor, weight_VH: torch.Tensor, labels_N: torch.Tensor
    ) -> torch.Tensor:  # Any: autograd's context
        said_N, norms_N = (hidden_NH.new_empty(len(labels_N), dtype=torch.float32) for _ in range(2))
        for rows in _chunks(len(labels_N), weight_VH.shape[0]):
            scores = (hidden_NH[rows] @ weight_VH.T).float()
            norms_N[rows] = scores.logsumexp(dim=1)
            said_N[rows] = scores.gather(1, labels_N[rows, None])[:, 0] - norms_N[rows]
        ctx.save_for_backward(hidden_NH, weight_VH, labels_N, norms_N)
        return said_N

    @staticmethod
    def backward(ctx: Any, slope_N: torch.Tensor) -> Any:  # Any: autograd's context, a gradient or None for each input
        hidden_NH, weight_VH, labels_N, norms_N = ctx.saved_tensors
        to_hidden, to_weight, _ = ctx.needs_input_grad
        of_hidden = torch.empty_like(hidden_NH) if to_hidden else None
        of_weight = torch.zeros_like(weight_VH, dtype=torch.float32) if to_weight else None
        for rows in _chunks(len(labels_N), weight_VH.shape[0]):
            bent = (hidden_NH[rows] @ weight_VH.T).float().sub_(norms_N[rows, None]).exp_()
            bent.mul_(-slope_N[rows, None])
            bent.scatter_add_(1, labels_N[rows, None], slope_N[rows, None])
            bent = bent.to(hidden_NH.dtype)
            if of_hidden is not None:
                torch.mm(bent, weight_VH, out=of_hidden[rows])
            if of_weight is not None:
                of_weight += bent.T @ hidden_NH[rows]
        return of_hidden, None if of_weight is None else of_weight.to(weight_VH.dtype), None


def _chunks(count: int, words: int) -> Iterator[slice]:
    rows = max(1, CHUNK_NUMBERS // words)
    return (slice(start, start + rows) for start in range(0, count, rows))


def _score(
    head: nn.Linear,
    hidden: torch.Tensor,
    labels: torch.Tensor | None = None,
    *,
    summed: bool = True,
    times: torch.Tensor | None = None,
) -> torch.Tensor:
    """What a head answers: scores, or with labels the loss, or what each is likely. Called as a module, so that ZeRO-3
    gathers its weight."""
    if labels is None:
        return nn.functional.linear(hidden, head.weight)
    if summed:
        return summed_loss(hidden, head.weight, labels, times)
    return log_probabilities(hidden, head.weight, labels)


def _forward(
    model: PreTrainedModel,
    *args: Any,
    learnt_labels: torch.Tensor | None = None,
    learnt_at: tuple[torch.Tensor, torch.Tensor] | None = None,
    learnt_times: torch.Tensor | None = None,
    **inputs: Any,
) -> Any:  # Any: what transformers takes and gives
    """The model's own forward pass; with `learnt_labels` [B, A], those of the last A tokens, the summed loss.

    With `learnt_labels` [N] and `learnt_at`, rows [N] and columns [N]: log p of each label after what stands there; and
    with `learnt_times` [N] the summed loss, each label counted so many times.
    """
    if learnt_labels is None:
        return type(model).forward(model, *args, **inputs)
    head = head_of(model)
    assert head is not None, "fuse_head has seen it"
    hidden_BTH = model.base_model(*args, **{**inputs, "use_cache": False}).last_hidden_state
    if learnt_at is not None:
        return head(hidden_BTH[learnt_at], learnt_labels, summed=learnt_times is not None, times=learnt_times)
    A = learnt_labels.shape[1]
    before_BAH = hidden_BTH[:, -A - 1 : -1] if hidden_BTH.shape[1] > A else hidden_BTH[:, -A:]
    learnt_BA = learnt_labels != IGNORED
    return head(before_BAH[learnt_BA], learnt_labels[learnt_BA])
