"""Kill a run again and again at random moments, then run it to its end: the same final files, nobody left behind.

    python -m tests.end_to_end.processes.kill_loop --kills 40 --seed 1

Every stage is met, imports included, with SIGTERM (a launcher with SIGHUP) and with SIGKILL, and as the victim the
command, one rank, the launcher, or all processes at once. Exit status 1 if a final file differs, a process is left
10 s after it (60 s after SIGTERM, which asks to save first), or anything of the run is left in the system's folder for
temporary files.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import astuple, dataclass
from pathlib import Path

from launch.stages import STAGES, Stage
from tests.end_to_end.runs import ROOT, TINY, final_files, processes_of

KILLED_SECONDS, ASKED_SECONDS = 10.0, 60.0
"""Until nobody may be left: killed, or asked by SIGTERM, which ranks that are importing hear at their first step."""
TIMEOUT_SECONDS = 900.0
IMPORT_SECONDS = 3.0
PHASES = ("imports", "work")
VICTIMS = ("command", "rank", "launcher", "all")
SIGNALS = (signal.SIGKILL, signal.SIGTERM)
ENDS_A_LAUNCHER = signal.SIGHUP
"""Where others get SIGTERM: that one it leaves to its ranks."""
COLUMNS = ("kill", "stage", "phase", "after", "signal", "victim", "nobody after")


@dataclass(frozen=True)
class Kill:
    """One kill, as it went."""

    number: int
    stage: str
    phase: str
    """`imports` before the stage has opened its files, `work` from then on, `next stage` once it has finished."""
    after: float
    """Seconds from the start of the stage's process."""
    signal: str
    victim: str
    nobody_after: float
    """Seconds from the kill until no process of the run was there."""

    def __str__(self) -> str:
        cells = [f"{cell:.1f} s" if isinstance(cell, float) else str(cell) for cell in astuple(self)]
        return "  ".join(cell.ljust(12) for cell in cells)


@dataclass(frozen=True)
class Plan:
    """Whom to kill, how and when."""

    number: int
    stage: Stage
    victim: str
    signal: signal.Signals
    phase: str
    seconds: float
    """From the start of the phase."""


def make_plans(kills: int, *, seed: int, whole: Path) -> list[Plan]:
    """`kills` kills, spread over the stages in order. `whole` is a finished run: how long the stages take is its word.

    Every victim meets every signal; phases and moments are drawn.
    """
    draw = random.Random(seed)
    plans = []
    for number in range(kills):
        stage = STAGES[number * len(STAGES) // kills]
        phase = draw.choice(PHASES)
        work = json.loads((whole / "manifests" / f"{stage.name}.json").read_text(encoding="utf-8"))["seconds"]
        seconds = draw.uniform(0, work if phase == "work" else IMPORT_SECONDS)
        victim, sent = VICTIMS[number % len(VICTIMS)], SIGNALS[number // len(VICTIMS) % len(SIGNALS)]
        if victim == "launcher" and sent == signal.SIGTERM:
            sent = ENDS_A_LAUNCHER
        plans.append(Plan(number + 1, stage, victim, sent, phase, seconds))
    return plans


def kill_once(plan: Plan, run_dir: Path, *, recipe: Path, temporary: Path) -> Kill:
    """Start `kinrec run` in `run_dir` and kill as planned. A stage that has finished is made to start again.

    `temporary` is what the command takes for the system's folder of temporary files. AssertionError if a process or a
    temporary file of the killed run is left.
    """
    stage = plan.stage
    (run_dir / "manifests" / f"{stage.name}.json").unlink(missing_ok=True)
    begun = time.time()
    command = start(run_dir, recipe, temporary)
    log = run_dir / "logs" / f"{stage.name}.log"
    _wait_for(command, lambda: log.is_file() and log.stat().st_mtime >= begun)
    began = time.monotonic()
    if plan.phase == "work":
        _wait_for(command, lambda: _phase(run_dir, stage, begun) != "imports")
    moment = time.monotonic() + plan.seconds
    _wait_for(command, lambda: time.monotonic() > moment or _phase(run_dir, stage, begun) == "next stage")
    after, phase = time.monotonic() - began, _phase(run_dir, stage, begun)
    _wait_for(command, lambda: _kill(_victims(command.pid, run_dir, plan.victim), plan.signal))
    killed = time.monotonic()
    allowed = ASKED_SECONDS if plan.signal == signal.SIGTERM else KILLED_SECONDS
    while left := _others(run_dir, command):
        assert time.monotonic() - killed < allowed, f"{plan}: {left} are left"
        time.sleep(0.02)
    seconds = time.monotonic() - killed
    assert list(temporary.iterdir()) == [], "temporary files lie outside the run"
    return Kill(plan.number, stage.name, phase, after, plan.signal.name, plan.victim, seconds)


def start(run_dir: Path, recipe: Path, temporary: Path) -> "subprocess.Popen[bytes]":
    """`kinrec run`, on its way."""
    return subprocess.Popen(
        [sys.executable, "-m", "launch.cli", "run", str(recipe), f"--run_dir={run_dir}"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _wait_for(command: "subprocess.Popen[bytes]", reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not reached():
        assert command.poll() is None, "the command ended before it could be killed"
        assert time.monotonic() < deadline, "the moment of the kill did not come"
        time.sleep(0.01)


def _others(run_dir: Path, command: "subprocess.Popen[bytes]") -> list[int]:
    command.poll()  # collect it when it has ended
    return processes_of(run_dir)


def _victims(command: int, run_dir: Path, victim: str) -> list[int]:
    """The process ids that a kind of victim stands for now; a rank that has not begun yet is its launcher."""
    if victim == "command":
        return [command]
    everybody = processes_of(run_dir)
    if victim == "all":
        return everybody
    launchers = [pid for pid in everybody if _parent(pid) == command]
    ranks = [pid for pid in everybody if _parent(pid) in launchers]
    return (ranks if victim == "rank" and ranks else launchers)[-1:]


def _kill(pids: list[int], number: signal.Signals) -> bool:
    """Send `number` to all of `pids`; False if nobody was there to take it."""
    reached = False
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
        reached = True
    return reached


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _phase(run_dir: Path, stage: Stage, begun: float) -> str:
    if (run_dir / "manifests" / f"{stage.name}.json").is_file():
        return "next stage"
    started = run_dir / "manifests" / f"{stage.name}.started.json"
    return "work" if started.is_file() and started.stat().st_mtime >= begun else "imports"


def main() -> None:
    """The loop from an empty folder, beside a run that nobody disturbs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--recipe", type=Path, default=TINY)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kill-loop-", ignore_cleanup_errors=True) as folder:
        whole, killed, temporary = (Path(folder) / name for name in ("whole", "killed", "tmp"))
        temporary.mkdir()
        assert start(whole, asked.recipe, temporary).wait(TIMEOUT_SECONDS) == 0, "the undisturbed run failed"
        print("  ".join(column.ljust(12) for column in COLUMNS), flush=True)
        slowest = 0.0
        for plan in make_plans(asked.kills, seed=asked.seed, whole=whole):
            kill = kill_once(plan, killed, recipe=asked.recipe, temporary=temporary)
            print(kill, flush=True)
            slowest = max(slowest, kill.nobody_after)
        status = start(killed, asked.recipe, temporary).wait(TIMEOUT_SECONDS)
        expected, left = final_files(whole), final_files(killed)
        different = sorted(name for name in {*expected, *left} if expected.get(name) != left.get(name))
    print(f"{asked.kills} kills, nobody left after {slowest:.1f} s at most; the same command then ended with {status}")
    print(f"final files: {len(expected)}, different: {different or 'none'}")
    sys.exit(1 if status or different else 0)


if __name__ == "__main__":
    main()
