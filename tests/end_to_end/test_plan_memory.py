"""What the plan says beside what a real fine-tune takes: memory of a rank, within 15 % for three shapes; arithmetic."""

from pathlib import Path

import pytest
import torch

from bench.plan import TRIALS, measure, planned
from launch.plan.command import plan
from training.plan import arithmetic
from training.plan.arithmetic import auto_on_cpus
from training.precision import resolve_precision

CAN_MEASURE = Path("/proc/self/clear_refs").exists()


@pytest.mark.slow
@pytest.mark.skipif(not CAN_MEASURE, reason="the peak of a process is read from Linux's /proc")
@pytest.mark.parametrize("shape", TRIALS)
def test_planned_memory_is_within_15_percent_of_the_measured_peak(shape: str) -> None:
    expected = planned(TRIALS[shape])
    peaks = measure(shape)
    assert max(peaks) / expected == pytest.approx(1, abs=0.15)  # rank 0's, which saves the weights
    assert all(peak / expected > 0.8 for peak in peaks)


def test_auto_is_asked_of_this_machine_in_a_process_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arithmetic, "PROBE_SECONDS", 300.0)
    auto_on_cpus.cache_clear()
    picked = resolve_precision("auto", torch.device("cpu"))
    assert auto_on_cpus() == (picked, "")
    words = ["demo", f"--run_dir={tmp_path}", "--gpu-memory=0", "--no-deepspeed", "--llm.precision=auto"]
    assert plan(words) == 0
    assert f"trained, in {picked} (auto: these CPUs multiply " in capsys.readouterr().out
