"""The cable between two hosts is cut: without the watchdog both sides wait for a quarter of an hour and name nobody."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from launch.watch.marks import watch_folder
from tests.end_to_end.processes.namespaces import Host, two_hosts
from tests.end_to_end.processes.test_hangs import ENDLESS, SLACK_SECONDS, STEP_SECONDS, before_each, wait_for_step
from tests.end_to_end.runs import ROOT, processes_of

CUT_IN_A_SAVE = before_each(
    "save", 'subprocess.run(["ip", "link", "set", os.environ["GLOO_SOCKET_IFNAME"], "down"], check=True)'
)


def launcher(
    host: Host, number: int, *, master: Host, run_dir: Path, log: Path, planted: Path
) -> "subprocess.Popen[str]":
    """torchrun by hand on one of two hosts, one rank each; `planted` may have code that each Python runs first."""
    meet = ["--nnodes=2", f"--node-rank={number}", f"--master-addr={master.address}", "--master-port=29517"]
    stage = ["-m", "graph.pretrain", "--config", str(run_dir / "recipe.yaml"), f"--run_dir={run_dir}"]
    words = [*ENDLESS["pretrain"], f"--launch.step_timeout={STEP_SECONDS}"]
    with log.open("w") as output:
        return subprocess.Popen(
            host.command([sys.executable, "-m", "torch.distributed.run", *meet, "--nproc-per-node=1", *stage, *words]),
            cwd=ROOT,
            env={**os.environ, "GLOO_SOCKET_IFNAME": host.interface, "PYTHONPATH": f"{planted}:{ROOT}"},
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )


@pytest.mark.parametrize("when", ["while it trains", "in a save"])
def test_link_cut_names_rank_within_timeout(when: str, tiny_run: Path, tmp_path: Path) -> None:
    if when == "in a save":  # where the longer time-out counts for work, but not for meeting those who are cut off
        (tmp_path / "sitecustomize.py").write_text(CUT_IN_A_SAVE, encoding="utf-8")
    run_dir, logs = tmp_path / "run", [tmp_path / f"{number}.log" for number in (0, 1)]
    shutil.copytree(tiny_run, run_dir, ignore=shutil.ignore_patterns("logs"))
    with two_hosts() as hosts:
        launchers = [
            launcher(host, number, master=hosts[0], run_dir=run_dir, log=logs[number], planted=tmp_path)
            for number, host in enumerate(hosts)
        ]
        try:
            if when == "while it trains":
                wait_for_step(run_dir, "pretrain", 3, launchers[0])
                hosts[1].cut()
            else:
                wait_for_step(run_dir, "pretrain", 1, launchers[0], phase="checkpoint")
            cut = time.monotonic()
            statuses = [process.wait(timeout=120) for process in launchers]
            seconds = time.monotonic() - cut
        finally:
            for process in launchers:
                process.kill()
    assert statuses == [1, 1], logs[0].read_text()[-4000:]
    assert seconds < STEP_SECONDS + SLACK_SECONDS, logs[0].read_text()[-4000:]
    said = "".join(log.read_text(encoding="utf-8") for log in logs)
    line = r"kinrec: hang in pretrain: rank 1 on \S+ cannot reach the first node.*\(\w+, step \d+ of \d+\)"
    assert re.search(line, said), said[-4000:]
    for rank in (0, 1):
        stack = (watch_folder(run_dir, "pretrain") / f"rank-{rank}.stack").read_text(encoding="utf-8")
        assert "in learn" in stack
        assert when != "in a save" or "in sum" in stack
    assert processes_of(run_dir) == []
