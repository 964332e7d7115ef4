"""On a GPU the answers are those of the CPU, and bf16 runs too."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pairs.tables import load_pair
from retrieval.grounding import TitleGrounder
from tests.tiny_generation import CONSTRAINED, FREE, write_answerable_run
from training.answers.answer_lists import Answers
from training.answers.answerer import load_answerer
from training.answers.config import GenerationConfig
from training.answers.parts import answer_rows, read_prompts

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


@pytest.fixture(scope="module")
def answerable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("answerable") / "run"
    write_answerable_run(folder)
    return folder


def answers_on(device: str, config: GenerationConfig, run_dir: Path) -> Answers:
    pair = load_pair(run_dir)
    answerer = load_answerer(
        config, base=None, run_dir=run_dir, pair=pair, grounder=TitleGrounder(pair.items), device=torch.device(device)
    )
    prompts = read_prompts(run_dir, "test", max_samples=None, seed=1)
    return answer_rows(answerer, prompts, np.arange(len(prompts.sample)))


@pytest.mark.parametrize("config", [FREE, CONSTRAINED], ids=["free", "constrained"])
def test_the_gpu_answers_as_the_cpu_does(config: GenerationConfig, answerable: Path) -> None:
    cpu, gpu = answers_on("cpu", config, answerable), answers_on("cuda", config, answerable)
    assert gpu.texts == cpu.texts
    assert gpu.grounded == cpu.grounded
    for scores, expected in zip(gpu.text_scores, cpu.text_scores, strict=True):
        assert scores == pytest.approx(expected, rel=1e-3)


def test_constrained_answers_in_bf16_are_titles_of_the_asked_domain(answerable: Path) -> None:
    answers = answers_on("cuda", replace(CONSTRAINED, precision="bf16"), answerable)
    assert all(all(flags) and len(flags) == CONSTRAINED.num_beams for flags in answers.in_domain)
