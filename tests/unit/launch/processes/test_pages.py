"""Huge pages are asked for where a language model runs on CPUs, and nowhere that a user manages memory himself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from launch.processes.pages import HUGE_PAGES, OWN, TUNABLES, page_environment
from launch.stages import STAGES, Stage, stage_named

HUGE = Path("/sys/kernel/mm/transparent_hugepage/enabled")
TAKE = """
import ctypes, re
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
ctypes.memset(ctypes.c_void_p(libc.malloc(ctypes.c_size_t(64 << 20))), 1, 64 << 20)
print(re.search(r"AnonHugePages:\\s+(\\d+)", open("/proc/self/smaps_rollup").read())[1])
"""


@pytest.fixture(autouse=True)
def nobody_manages_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OWN:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_ranks_of_language_models_ask_for_huge_pages_on_cpus(stage: Stage) -> None:
    asks = {TUNABLES: HUGE_PAGES} if stage.name in {"finetune", "generate"} else {}
    assert page_environment(stage, gpus=0) == asks
    assert page_environment(stage, gpus=1) == {}


@pytest.mark.parametrize("name", OWN)
def test_a_users_own_memory_is_left_alone(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "something")
    assert page_environment(stage_named("finetune"), gpus=0) == {}


@pytest.mark.skipif(not HUGE.is_file(), reason="Linux's transparent huge pages")
def test_the_c_library_takes_them() -> None:
    if tuple(map(int, (os.confstr("CS_GNU_LIBC_VERSION") or "0 0.0").split()[1].split("."))) < (2, 35):
        pytest.skip("this C library asks for none")
    if "[never]" in HUGE.read_text(encoding="utf-8"):
        pytest.skip("this system grants no huge pages")
    done = subprocess.run([sys.executable, "-c", TAKE], env={TUNABLES: HUGE_PAGES}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 32 << 10
