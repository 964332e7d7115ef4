"""`kinrec doctor` as a user starts it: status, lines, faults of the recipe and of the installation."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.end_to_end.runs import ROOT, TINY

pytestmark = pytest.mark.slow


def kinrec(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "launch.cli", "doctor", *words],
        cwd=ROOT, capture_output=True, text=True, timeout=300, env={**os.environ, **variables},
    )  # fmt: skip


def test_a_healthy_machine_passes_within_a_minute(tmp_path: Path) -> None:
    started = time.monotonic()
    done = kinrec(str(TINY), f"--run_dir={tmp_path / 'run'}")
    assert time.monotonic() - started < 60
    *lines, last = done.stdout.splitlines()
    slow = {line for line in lines if line.split()[1] in {"all-reduce", "run"}}  # others work on this machine, too
    assert {line.split()[0] for line in lines if line not in slow} == {"pass"}, done.stdout
    assert last.startswith("doctor: ")
    assert ", 0 fail; " in last
    assert (done.returncode, done.stderr) == (0, "")
    assert not (tmp_path / "run").exists()


def test_a_bad_recipe_is_status_2() -> None:
    done = kinrec("no_such_recipe")
    assert done.returncode == 2
    assert done.stderr.startswith("kinrec: error: no recipe 'no_such_recipe'")


def test_what_a_stage_reads_and_has_not_fails_in_brief(tmp_path: Path) -> None:
    words = (str(TINY), f"--run_dir={tmp_path}", "--stage=tokenize", "--brief", f"--prompts.base={tmp_path / 'none'}")
    done = kinrec(*words)
    base, prepare, pretrain, retrieve, last = done.stdout.splitlines()
    assert done.returncode == 1
    assert base.startswith("fail  base ")
    assert base.endswith("no such file or folder; give a local one, smollm2 or scratch")
    assert prepare.startswith("fail  data ")
    assert prepare.endswith("prepare, which tokenize reads, is absent; run `kinrec prepare` first")
    assert pretrain.endswith("pretrain, which tokenize reads, is absent; run `kinrec pretrain` first")
    assert retrieve.endswith("retrieve, which tokenize reads, is absent; run `kinrec retrieve` first")
    assert ", 0 warn, 4 fail; " in last


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("raise OSError('libcudart.so.13: cannot open shared object file')", "libcudart.so.13"),
        ("import os; os.kill(os.getpid(), 11)", "ended by SIGSEGV"),
        ("import time; time.sleep(1000)", "no answer within"),
    ],
)
def test_a_broken_torch_is_a_line(tmp_path: Path, source: str, said: str) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text(source, encoding="utf-8")
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = kinrec(str(TINY), f"--run_dir={tmp_path / 'run'}", "--brief", "--timeout=20", PYTHONPATH=path)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    torch, ranks, _ = done.stdout.splitlines()
    assert torch.startswith("fail  torch          cannot be imported: ")
    assert said in torch
    assert ranks.startswith("warn  ranks          not started")


def test_gpus_that_torch_does_not_see_fail(tmp_path: Path) -> None:
    done = kinrec(str(TINY), f"--run_dir={tmp_path}", "--brief", CUDA_VISIBLE_DEVICES="0")
    assert done.returncode == 1
    assert "torch sees no GPU: it is a CPU build" in done.stdout
