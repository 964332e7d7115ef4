"""Rates of the fine-tune: what is counted, against counts by hand."""

import dataclasses

import datasets
import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from launch.distributed import World
from training.config import ScratchConfig
from training.lessons.batches import PromptData, collate
from training.scratch import build_model
from training.tuning.losses import learnt_loss
from training.tuning.meter import Arithmetic, Meter, count_arithmetic, measure_peak, peak_memory

ALONE = World(rank=0, size=1, local_rank=0, device=torch.device("cpu"))


def prompts(*lengths: int, learnt: int) -> PromptData:
    rows = [list(range(2, 2 + length)) for length in lengths]
    return PromptData(datasets.Dataset.from_dict({"input_ids": rows}), np.array(lengths), np.full(len(lengths), learnt))


def test_counted_arithmetic_is_what_torch_counts() -> None:
    sizes = ScratchConfig(hidden_size=64, num_layers=2, num_heads=2, tie_embeddings=False)
    model = build_model(sizes, vocab_size=128, eos=1, pad=0, max_tokens=64, seed=1, dtype=torch.float32)
    model.set_attn_implementation("eager")
    data, rows = prompts(40, 40, learnt=39), np.arange(2)
    with FlopCounterMode(display=False) as counted:
        torch.autograd.backward(learnt_loss(model, collate(data, rows, pad=0)))
    # Eager attention computes the whole square, of which half is masked; and one position more is scored.
    ours = count_arithmetic(model, peak=1.0)
    whole_square = Arithmetic(ours.per_token, ours.per_learnt, 2 * ours.per_square, 1.0)
    assert whole_square.of(data, rows) == pytest.approx(counted.get_total_flops(), rel=0.02)


def test_rates_are_of_steps_alone() -> None:
    data, rows = prompts(10, 6, learnt=2), np.arange(2)
    arithmetic = Arithmetic(per_token=3.0, per_learnt=5.0, per_square=1.0, peak=200.0)
    meter = Meter(torch.zeros(()), learnt_tokens=50)
    for _ in range(2):
        meter.begin()
        with meter.waiting():
            pass
        meter.end(data, rows, arithmetic)
    meter.seconds, meter.data_seconds = 4.0, 1.0
    rates = meter.rates(arithmetic, ALONE)
    assert meter.learnt_tokens == 58
    assert rates["tokens_per_second"] == 8.0
    assert rates["learnt_tokens_per_second"] == 2.0
    assert rates["samples_per_second"] == 1.0
    assert rates["step_seconds"] == 2.0
    assert rates["data_seconds"] == 0.5
    assert rates["mfu"] == pytest.approx(2 * (3 * 16 + 5 * 4 + 100 + 36) / 4 / 200)
    timed_on_a_busy_machine = dataclasses.replace(arithmetic, peak=1.0)
    assert meter.rates(timed_on_a_busy_machine, ALONE)["mfu"] == 1.0
    assert 0.05 < rates["memory_gib"] < 50


def test_a_meter_that_ran_no_step_says_nothing() -> None:
    assert Meter(torch.zeros(())).rates(Arithmetic(1.0, 1.0, 1.0, 1.0), ALONE) == {}


def test_the_peak_is_measured() -> None:
    assert 1e8 < measure_peak(torch.device("cpu"), torch.float32) < 1e14
    assert peak_memory(torch.device("cpu")) > 1e7
