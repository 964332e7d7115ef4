"""USR1 and TERM in single processes: a rank before its work and in it, its child, the command that hands them on."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from launch.processes.commands import begin, tied_environment
from launch.processes.signals import STOPPED
from tests.end_to_end.runs import ROOT

pytestmark = pytest.mark.slow
SECONDS = 20.0
RANK = """import os, sys, threading, time
from launch.processes.signals import is_asked, work_begins
if "begun" in sys.argv:
    work_begins()
print("ready", flush=True)
if "forks" in sys.argv:
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
        os._exit(1)
    os.kill(pid, 15)
    print(os.waitpid(pid, 0)[1], flush=True)
if "blocked" in sys.argv:
    threading.Lock().acquire() and threading.Event().wait()
for _ in range(1200):
    if is_asked():
        print("asked", flush=True)
        sys.exit(0)
    time.sleep(0.05)
"""
CHILD = """import signal, time
signal.signal(signal.SIGUSR1, lambda *_: print("told", flush=True))
print("ready", flush=True)
while True:
    time.sleep(0.05)
"""
COMMAND = f"""import os, sys
from launch.processes.commands import tied_environment
from launch.processes.forward import forward_stops
from launch.processes.orphans import own_identity
from launch.processes.relay import relay
forward_stops()
if "idle" in sys.argv:
    print("ready", flush=True, file=sys.stderr)
    sys.stdin.read()
relay([sys.executable, "-c", {CHILD!r}], tied_environment(), open(os.devnull, "wb"), command=own_identity())
"""


@contextmanager
def running(words: list[str], environment: Mapping[str, str]) -> Iterator["subprocess.Popen[str]"]:
    """A process that has said that it is ready."""
    process = subprocess.Popen(
        words, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        while (line := process.stdout.readline()) != "ready\n":
            assert line, "it ended before it was ready"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def rank(tmp_path: Path) -> tuple[list[str], dict[str, str]]:
    """The words and the environment of a rank that does little."""
    (tmp_path / "little.py").write_text(RANK, encoding="utf-8")
    environment = {**tied_environment(first=True), STOPPED: str(tmp_path / "manifests" / "stopped.json")}
    environment["PYTHONPATH"] += os.pathsep + str(tmp_path)
    return begin("little", []), environment


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
@pytest.mark.parametrize("how", ["busy", "blocked"])
def test_a_rank_that_has_not_begun_ends_at_once_and_says_so(
    rank: tuple[list[str], dict[str, str]], tmp_path: Path, number: signal.Signals, how: str
) -> None:
    words, environment = rank
    with running([*words, how], environment) as process:
        process.send_signal(number)
        assert process.wait(SECONDS) == 75
    assert json.loads((tmp_path / "manifests" / "stopped.json").read_text()) == {"where": None}


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_a_rank_at_work_only_takes_a_note(
    rank: tuple[list[str], dict[str, str]], tmp_path: Path, number: signal.Signals
) -> None:
    words, environment = rank
    with running([*words, "begun"], environment) as process:
        process.send_signal(number)
        assert process.wait(SECONDS) == 0
        assert process.stdout is not None
        assert process.stdout.read() == "asked\n"
    assert not (tmp_path / "manifests").exists()


def test_a_rank_ends_by_term_where_another_has_failed(rank: tuple[list[str], dict[str, str]], tmp_path: Path) -> None:
    words, environment = rank
    with running([*words, "begun"], environment | {"LOCAL_WORLD_SIZE": "1000"}) as process:  # we have fewer children
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 143
    assert not (tmp_path / "manifests").exists()


def test_a_forked_child_ends_by_term(rank: tuple[list[str], dict[str, str]]) -> None:
    words, environment = rank
    with running([*words, "begun", "forks"], environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"{int(signal.SIGTERM)}\n"


def command(*words: str) -> list[str]:
    return [sys.executable, "-c", COMMAND, *words]


def test_a_command_hands_on_usr1_and_a_second_term_ends_it() -> None:
    with running(command(), dict(os.environ)) as process:
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        assert process.stdout.readline() == "kinrec: SIGTERM: saving, then stopping\n"
        assert process.stdout.readline() == "told\n"
        assert process.stdout.readline() == "told\n", "one that was just being born did not hear the first"
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 143


def test_inside_a_job_a_second_term_says_nothing_new() -> None:
    with running(command(), {**os.environ, "SLURM_JOB_ID": "7"}) as process:
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert process.poll() is None


def test_a_command_with_nothing_at_work_ends_at_once() -> None:
    with running(command("idle"), dict(os.environ)) as process:
        process.send_signal(signal.SIGUSR1)
        assert process.wait(SECONDS) == 75


def test_a_signal_at_the_very_end_does_no_harm(rank: tuple[list[str], dict[str, str]]) -> None:
    words, environment = rank
    with running([*words, "begun"], environment) as process:
        process.send_signal(signal.SIGUSR1)
        deadline = time.monotonic() + SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            process.send_signal(signal.SIGUSR1)
        assert process.wait(SECONDS) == 0
