"""One synthetic run of a given size, stage by stage, each in a process of its own: what each took."""

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from launch.artifacts import bytes_below, read_json
from launch.config import load_recipe
from launch.plan.counts import PairSizes, of_card
from launch.processes.commands import module_words, tied_environment
from launch.stages import STAGES as ALL_STAGES
from launch.watch.warden import children

GIB = 2**30
MIN_DOMAIN_ITEMS = 24
FINETUNE_STEPS, ANSWERED = 8, 64
"""Optimizer steps of the fine-tune; samples of each split that the language model answers."""
SETTINGS: dict[str, Any] = {  # Any: plain YAML values
    "graph": {"schedule": {"epochs": 1}},
    "retrieval": {"index": {"storage": "float16", "mapped": True}},
    "prompts": {"base": "scratch", "scratch_vocab": 1024, "max_tokens": 320, "max_history": 6},
    "llm": {
        "precision": "fp32", "max_steps": FINETUNE_STEPS, "global_batch": 16, "per_device_batch": 16,
        "eval_samples": 32, "scratch": {"hidden_size": 64, "num_layers": 2, "num_heads": 2},
    },
    "generation": {"by": "rank", "max_samples": ANSWERED},
}  # fmt: skip
"""Whole but for training and the language model, which are bounded by steps and samples. Vectors to find kindred users
by are in a file, in half the bytes, as where memory is short; the neighbours are the same."""
Amount = Callable[[PairSizes], float]


@dataclass(frozen=True)
class Timed:
    """One stage of the ladder, and how many samples it works on."""

    name: str
    module: str
    samples: Amount
    what: str
    """What is counted as a sample."""


STAGES = (
    Timed("prepare", "pairs.prepare", lambda sizes: sizes.interactions, "interactions"),
    Timed(
        "pretrain", "bench.scaling.few_steps", lambda sizes: sizes.train + sizes.held_out, "samples ranked, exported"
    ),
    Timed("retrieve", "retrieval.neighbours", lambda sizes: sizes.train + sizes.held_out, "samples"),
    Timed("tokenize", "training.tokenize_prompts", lambda sizes: sizes.train + sizes.held_out, "samples"),
    Timed("finetune", "training.finetune", lambda _: 16 * FINETUNE_STEPS, "sequences"),
    Timed("generate", "training.generate", lambda _: 2 * ANSWERED, "samples"),
    Timed("evaluate", "evaluation.evaluate", lambda sizes: sizes.held_out, "samples"),
    Timed("recommend", "training.recommend", lambda _: 1, "users"),
)
SHARED = tuple(stage.name for stage in ALL_STAGES if stage.starter == "torchrun")
"""Stages that several ranks share here; the fine-tune, bounded, is left to one."""
STEP = "graph step"
"""Of pretrain, timed inside."""


@dataclass(frozen=True)
class Cost:
    """What a stage took."""

    seconds: float
    cpu_seconds: float
    """Of the process and its children."""
    peak_gib: float
    """The largest resident set of the process or of one of its children, a rank, say; mapped files included."""
    own_gib: float
    """The most that the process and its children, all ranks, held at a time besides mapped files; looked at each half
    second."""
    written: int
    """Bytes by which the run folder has grown."""
    samples: float

    @property
    def cpu_per_sample(self) -> float:
        """Seconds."""
        return self.cpu_seconds / max(1.0, self.samples)


@dataclass(frozen=True)
class SizedRun:
    """One size, measured."""

    users: int
    sizes: PairSizes
    costs: dict[str, Cost]
    stopped: str | None
    """Why stages are missing."""


def run_size(
    users: int,
    *,
    items: int,
    folder: Path,
    names: Sequence[str],
    minutes: float,
    train_lists: int | None,
    held_out_lists: int | None = None,
    ranks: int = 1,
    say: Callable[[str], None],
) -> SizedRun:
    """Make a run of so many users and run the named stages; the first that fails or takes too long ends it.

    Args:
        items: of both domains together, as generated.
        minutes: that a stage may take.
        train_lists: train samples that a language model would be taught, who alone are sought kindred users for; None:
            all.
        held_out_lists: samples of valid, and of test, that are asked about; None: all.
        ranks: of the stages that several share, of as many threads as `OMP_NUM_THREADS` says.
    """
    run_dir = folder / f"users_{users}"
    run_dir.mkdir(parents=True, exist_ok=True)
    recipe = folder / f"users_{users}.yaml"
    recipe.write_text(yaml.safe_dump(recipe_of_size(users, items, train_lists, held_out_lists)), encoding="utf-8")
    resolved = yaml.safe_dump(load_recipe(recipe).resolved(), sort_keys=False)
    (run_dir / "recipe.yaml").write_text(resolved, encoding="utf-8")  # what the command would leave, for recommend
    costs: dict[str, Cost] = {}
    sizes = PairSizes(users, items, 0, 0, 0, "not prepared")
    for stage in STAGES:
        if stage.name not in names:
            continue
        words = ["--config", str(recipe), "--run_dir", str(run_dir)]
        if stage.name == "recommend":
            words = [str(run_dir), "--domain", "X", "--history", *_some_titles(run_dir)]
        before = bytes_below(run_dir)
        try:
            seconds, cpu, peak, own = run_alone(_command(stage, words, ranks), minutes=minutes)
        except RuntimeError as error:
            say(f"{users:,} users, {stage.name}: {error}")
            return SizedRun(users, sizes, costs, f"{stage.name}: {error}")
        sizes = of_card(run_dir / "pair" / "card.json")
        worked_on = replace(
            sizes,
            train=min(sizes.train, train_lists or sizes.train),
            held_out=min(sizes.held_out, 2 * held_out_lists if held_out_lists else sizes.held_out),
        )
        costs[stage.name] = Cost(seconds, cpu, peak, own, bytes_below(run_dir) - before, stage.samples(worked_on))
        if stage.name == "pretrain":
            told = read_json(run_dir / "bench_steps.json")
            costs[STEP] = Cost(told["step_cpu_seconds"], told["step_cpu_seconds"], peak, own, 0, told["samples"])
        say(f"{users:,} users, {stage.name}: {seconds:.1f} s, {cpu:.1f} CPU s, {peak:.2f} GiB, {own:.2f} its own")
    return SizedRun(users, sizes, costs, None)


def recipe_of_size(
    users: int, items: int, train_lists: int | None, held_out_lists: int | None
) -> dict[str, Any]:  # Any: plain YAML values
    """The recipe of a run."""
    synthetic = {
        "generator": "sampled", "num_users": users, "items_per_domain": max(MIN_DOMAIN_ITEMS, items // 2),
        "compression": "none",
    }  # fmt: skip
    settings = SETTINGS | {"graph": SETTINGS["graph"] | {"train_lists": train_lists, "held_out_lists": held_out_lists}}
    return {"name": f"scale_{users}", "seed": 1, "pair": {"source": "synthetic", "synthetic": synthetic}, **settings}


def _command(stage: Timed, words: Sequence[str], ranks: int) -> list[str]:
    if ranks == 1 or stage.name not in SHARED:
        return module_words(stage.module, words)
    return module_words(
        "torch.distributed.run", ["--standalone", "--nproc-per-node", str(ranks), "-m", stage.module, *words]
    )


def run_alone(command: Sequence[str], *, minutes: float) -> tuple[float, float, float, float]:
    """Run a command to its end: (seconds, CPU seconds, peak GiB, the most that all of it held of its own); RuntimeError
    if it fails or takes too long."""
    environment = tied_environment() | {"DS_ACCELERATOR": "cpu"}
    environment.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryFile() as said:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=said, stderr=said, env=environment, start_new_session=True)
        is_late = threading.Event()

        def end() -> None:
            is_late.set()
            os.killpg(process.pid, signal.SIGKILL)

        limit = threading.Timer(60 * minutes, end)
        limit.start()
        watch = _OwnMemory(process.pid)
        watch.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        finally:
            limit.cancel()
            watch.over.set()
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if is_late.is_set():
            raise RuntimeError(f"not done after {minutes:g} minutes")
        if process.returncode:
            said.seek(0)
            raise RuntimeError(f"exit status {process.returncode}: {said.read().decode(errors='replace')[-2000:]}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / GIB, watch.most / GIB


class _OwnMemory(threading.Thread):
    """Looks at what a process and all below it hold besides mapped files."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.most, self.over = pid, 0, threading.Event()

    def run(self) -> None:
        """Look until it is over."""
        while True:
            pids, held = [self.pid], 0
            while pids:
                pid = pids.pop()
                pids += children(pid)
                held += _anonymous_bytes(pid)
            self.most = max(self.most, held)
            if self.over.wait(0.5):
                return


def _anonymous_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:  # it has just ended
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))


def _some_titles(run_dir: Path) -> list[str]:
    """What a new user bought: three titles."""
    titles = pl.read_parquet(run_dir / "pair" / "items.parquet", columns=["title"])["title"]
    return [titles[place] for place in (0, len(titles) // 3, 2 * len(titles) // 3)]
