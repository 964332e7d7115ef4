"""A plan takes `auto` for what a run would: bytes, attention and speed are those of this machine's arithmetic."""

import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch

from launch.config import find_recipe, load_recipe
from launch.plan.command import estimate_stages
from launch.plan.counts import guessed
from launch.plan.estimates import Estimate, Setting
from launch.plan.machines import machine_of
from launch.plan.render import render
from launch.processes.children import Outcome
from retrieval.plan.retrieve import plan_retrieve
from training.plan import arithmetic
from training.plan.arithmetic import EMULATED_SPEED, NATIVE_SPEED, auto_on_cpus
from training.precision import resolve_precision

CPU = torch.device("cpu")
NATIVE = [{"avx512_bf16": True}, {"amx_bf16": True, "avx512_bf16": False}]
OTHER = [{"avx512_f": True, "avx512_bf16": False}, {}]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The modules that are asked, here in place of in a process of their own."""
    modules: list[str] = []

    def ask(module: str, arguments: Sequence[str], *, seconds: float) -> Outcome:
        said: list[dict[str, object]] = []
        monkeypatch.setattr(arithmetic, "answer", lambda **values: said.append(values))
        importlib.import_module(module).main()
        modules.append(module)
        return Outcome(0, said, "", 0.0)

    monkeypatch.setattr(arithmetic, "run_module", ask)
    auto_on_cpus.cache_clear()
    yield modules
    auto_on_cpus.cache_clear()


def planned(tmp_path: Path, *overrides: str, gpu: float = 0) -> tuple[Estimate, Estimate, str]:
    """Of finetune and generate, and the whole plan as it is printed."""
    recipe = load_recipe(find_recipe("demo"), list(overrides))
    setting = Setting(recipe, tmp_path, guessed(1000, 500, 12_000, "given"), machine_of(recipe, None, None, gpu, None))
    estimates = estimate_stages(setting)
    by_stage = {estimate.stage: estimate for estimate in estimates}
    return by_stage["finetune"], by_stage["generate"], render(setting, estimates, None)


def part(estimate: Estimate, name: str) -> float:
    return next(need.size for need in estimate.memory if need.name == name)


def seconds(estimate: Estimate) -> float:
    assert estimate.seconds is not None
    return estimate.seconds


@pytest.mark.usefixtures("asked")
def test_auto_is_what_a_fine_tune_takes_on_this_machine(tmp_path: Path) -> None:
    picked = resolve_precision("auto", CPU)
    finetune, _, text = planned(tmp_path, "--llm.precision=auto")
    assert f" trained, in {picked} (auto: these CPUs " in finetune.notes[0]
    assert finetune.notes[0] in text
    named, _, _ = planned(tmp_path, f"--llm.precision={picked}")
    assert (finetune.memory, finetune.disk, finetune.seconds) == (named.memory, named.disk, named.seconds)


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("capabilities", [*NATIVE, *OTHER])
def test_auto_is_what_it_takes_on_other_processors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool]
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    picked = resolve_precision("auto", CPU)
    assert picked == ("bf16" if capabilities in NATIVE else "fp32")
    words = f"in {picked} (auto: these CPUs multiply {'it' if picked == 'bf16' else 'no bf16'} natively)"
    auto, answers, text = planned(tmp_path, "--llm.precision=auto", "--generation.precision=auto")
    whole, answers_whole, _ = planned(tmp_path)
    assert words in auto.notes[0]
    assert answers.notes == [words]
    assert text.count(words) == 2
    share, faster = (0.5, 1.6) if picked == "bf16" else (1, 1)
    assert part(auto, "parameters") == share * part(whole, "parameters")
    assert part(answers, "parameters") == share * part(answers_whole, "parameters")
    assert seconds(auto) == pytest.approx(seconds(whole) / faster)
    assert seconds(answers) == pytest.approx(seconds(answers_whole) / faster)


@pytest.mark.usefixtures("asked")
def test_attention_of_auto_is_eager_where_it_is_bf16(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: NATIVE[0])
    auto, eager, sdpa = (
        part(planned(tmp_path, "--llm.precision=auto", f"--llm.attention={name}")[0], "activations")
        for name in ("auto", "eager", "sdpa")
    )
    assert auto == eager > sdpa


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize(("capabilities", "speed"), [(NATIVE[0], NATIVE_SPEED), (OTHER[0], EMULATED_SPEED)])
def test_bf16_by_name_is_as_fast_as_the_processor_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], speed: float
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    named, _, _ = planned(tmp_path, "--llm.precision=bf16")
    whole, _, _ = planned(tmp_path)
    assert seconds(named) == pytest.approx(seconds(whole) / speed)
    assert ("these CPUs only emulate" in named.notes[0]) is (speed < 1)


def test_nobody_is_asked_where_the_recipe_says_fp32_or_there_are_gpus(tmp_path: Path, asked: list[str]) -> None:
    planned(tmp_path)
    on_gpus, answers, _ = planned(tmp_path, "--llm.precision=auto", "--generation.precision=auto", gpu=80)
    assert "in bf16 (auto: GPUs are taken to multiply it natively)" in on_gpus.notes[0]
    assert on_gpus.model is not None
    assert part(answers, "parameters") == 2 * on_gpus.model[0]
    assert asked == []
    planned(tmp_path, "--llm.precision=auto", "--generation.precision=auto")
    assert asked == ["training.plan.arithmetic"], "once"


@pytest.mark.parametrize(("gpu", "slower"), [(80, 16), (0, 312 / 0.1)])
def test_fp32_is_slower_on_gpus(tmp_path: Path, gpu: float, slower: float) -> None:
    finetune, generate, _ = planned(tmp_path, "--llm.precision=fp32", "--generation.precision=fp32", gpu=gpu)
    tuned_in_bf16, answered_in_bf16, _ = planned(
        tmp_path, "--llm.precision=bf16", "--generation.precision=bf16", gpu=80
    )
    assert seconds(finetune) == pytest.approx(slower * seconds(tuned_in_bf16))
    assert seconds(generate) == pytest.approx(slower * seconds(answered_in_bf16))


def test_vectors_are_searched_in_fp32(tmp_path: Path) -> None:
    recipe, counts = load_recipe(find_recipe("demo")), guessed(1000, 500, 12_000, "given")
    on_gpu, on_cpu = (
        plan_retrieve(Setting(recipe, tmp_path, counts, machine_of(recipe, 1, 1, gpu, tflops)))
        for gpu, tflops in ((80, 16.0), (0, 1.0))
    )
    assert on_gpu.seconds == pytest.approx(on_cpu.seconds)


def test_without_an_answer_auto_is_taken_for_what_there_is_more_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[str]
) -> None:
    monkeypatch.setattr(arithmetic, "run_module", lambda *_, **__: Outcome(None, [], "", 40.0))
    auto, _, _ = planned(tmp_path, "--llm.precision=auto")
    whole, _, _ = planned(tmp_path)
    assert "in fp32 (auto: torch does not say what these CPUs have: no answer within 40 s)" in auto.notes[0]
    assert (auto.memory, auto.seconds) == (whole.memory, whole.seconds)
    assert asked == []
