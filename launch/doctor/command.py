"""Can this machine, or this allocation, run a recipe? A line for every check, the cure in it.

kinrec doctor
kinrec doctor RECIPE --run_dir=RUN [--stage=STAGE] [--brief]
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from launch.artifacts import bytes_below
from launch.cluster.allocation import read_allocation
from launch.config import LaunchConfig, Recipe
from launch.doctor import machine, packages, ranks, recipe_files
from launch.doctor.diagnoses import Diagnosis, failed, passed, warned, worst
from launch.errors import InputError, one_line
from launch.pipeline import open_recipe
from launch.plan.command import estimate_stages
from launch.plan.counts import read_counts
from launch.plan.estimates import Setting
from launch.plan.machines import machine_of
from launch.plan.render import needed_disk, needed_host
from launch.processes.children import Outcome, run_module
from launch.processes.commands import accelerate_file, count_gpus
from launch.stages import STAGES, Stage, stage_named
from launch.terminal import shown

BUDGET_SECONDS = 48.0
"""For all children together: `kinrec doctor` itself ends below a minute."""
LEAST_SECONDS = 5.0


@dataclass(frozen=True)
class Patient:
    """What is looked at."""

    recipe: Recipe | None
    run_dir: Path
    overrides: list[str]
    stage: str | None
    until: float
    """Children end by then, on the monotonic clock."""

    @property
    def launch(self) -> LaunchConfig:
        """The recipe's `launch`, or the defaults."""
        return LaunchConfig() if self.recipe is None else self.recipe.launch

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stage that is asked about, or all."""
        return STAGES if self.stage is None else (stage_named(self.stage),)

    @property
    def names(self) -> set[str]:
        """What they are called."""
        return {stage.name for stage in self.stages}

    def seconds(self) -> float:
        """What is left for a child."""
        return max(self.until - time.monotonic(), LEAST_SECONDS)


def doctor(words: list[str]) -> int:
    """`kinrec doctor`: 0, or 1 where a check failed."""
    parser = argparse.ArgumentParser(prog="kinrec doctor", allow_abbrev=False)
    parser.add_argument("recipe", nargs="?", help="the name of a shipped recipe, or a .yaml file")
    parser.add_argument("--run_dir", type=Path, help="the run's folder; default runs/NAME")
    parser.add_argument("--stage", choices=[stage.name for stage in STAGES], help="what this stage needs, no more")
    parser.add_argument("--brief", action="store_true", help="show what is not as it should be, and a count")
    parser.add_argument("--timeout", type=float, help="seconds for ranks and imports together; default 48")
    known, overrides = parser.parse_known_args(words)
    if known.recipe is None and overrides:
        parser.error(f"{overrides[0]}: overrides need a recipe")
    recipe, run_dir = None, known.run_dir or Path(os.environ.get("KINREC_RUNS", "runs"))
    if known.recipe is not None:
        recipe, run_dir = open_recipe(known.recipe, overrides, known.run_dir)
    started = time.monotonic()
    budget = known.timeout or _budget(recipe)
    patient = Patient(recipe, run_dir, overrides, known.stage, started + budget)
    there, diagnoses = run_dir.exists(), []
    for diagnosis in examine(patient):
        if diagnosis in diagnoses:
            continue
        diagnoses.append(diagnosis)
        if diagnosis.level != "pass" or not known.brief:
            sys.stdout.write(f"{diagnosis.line}\n")
            sys.stdout.flush()
    if not there:
        with suppress(OSError):  # the probe made it; the run itself is not begun
            run_dir.rmdir()
    sys.stdout.write(f"{summary(diagnoses, time.monotonic() - started)}\n")
    return 1 if worst(diagnoses) == "fail" else 0


def _budget(recipe: Recipe | None) -> float:
    """In a job a slow file system is no reason to fail: as long as the stage itself would wait for its ranks."""
    in_job = "SLURM_JOB_ID" in os.environ and recipe is not None
    return max(BUDGET_SECONDS, recipe.launch.start_timeout) if in_job and recipe is not None else BUDGET_SECONDS


def summary(diagnoses: list[Diagnosis], seconds: float) -> str:
    """The last line."""
    counts = [
        f"{sum(diagnosis.level == level for diagnosis in diagnoses)} {level}" for level in ("pass", "warn", "fail")
    ]
    return f"doctor: {', '.join(counts)}; {seconds:.0f} s"


def examine(patient: Patient) -> Iterator[Diagnosis]:
    """All checks, the light ones first; for one stage what that needs, no more: a job waits for them."""
    yield from guarded("packages", packages.check_packages)
    recipe, run_dir, unfit = patient.recipe, patient.run_dir, False
    memory, disk = (None, None) if recipe is None else _planned(patient, recipe)
    yield from guarded("host memory", lambda: machine.check_memory(memory))
    yield from guarded("disk", lambda: machine.check_disk(run_dir, disk))
    if recipe is not None:
        for diagnosis in guarded("files", lambda: recipe_files.check_files(recipe, patient.stages)):
            unfit = unfit or diagnosis.level == "fail"
            yield diagnosis
        yield from guarded("data", lambda: recipe_files.check_states(recipe, run_dir, patient.stage))
        yield from guarded("port", lambda: _port(recipe))
    ops = None if recipe is None else recipe_files.compiled_ops(recipe, patient.stages)
    if patient.stage is None or (ops is not None and count_gpus()):
        imported = run_module("launch.doctor.torch_probe", [], seconds=patient.seconds() / 2)
        yield from guarded("torch", lambda: read_torch(imported, gpus=count_gpus()))
        if imported.status != 0:
            yield warned("ranks", "not started: torch cannot be imported", "mend that first")
            return
        cuda = imported.answers[0]["cuda"]
    else:
        cuda = None
    if ops is not None:
        yield from guarded("compiler", lambda: machine.check_compiler(ops, cuda=cuda if count_gpus() else None))
    elif recipe is not None and patient.stage is None:
        yield passed("compiler", "none is needed: the DeepSpeed file asks for no compiled operation")
    if recipe is not None and not unfit:
        words, seconds = patient.overrides, patient.seconds() / 2
        yield from guarded(
            "base model", lambda: recipe_files.check_closely(recipe, words, patient.stages, seconds=seconds)
        )
    if patient.stage is None or stage_named(patient.stage).starter != "python":
        path = Path("none") if recipe is None else recipe.path
        yield from guarded("ranks", lambda: ranks.check_ranks(patient.launch, path, run_dir, seconds=patient.seconds()))


def guarded(check: str, look: Callable[[], Iterable[Diagnosis]]) -> Iterator[Diagnosis]:
    """The lines of one check; a check that cannot be made is a line too, and the others go on."""
    try:
        yield from look()
    except Exception as error:
        line = one_line(error)
        text = line if line is not None else f"could not be checked: {type(error).__name__}: {error}"
        yield failed(check, shown(text), "" if line is not None else "report it, with this line")


def read_torch(outcome: Outcome, *, gpus: int) -> Iterator[Diagnosis]:
    """The lines for what torch and faiss said in their own process."""
    parts = {said["part"]: said for said in outcome.answers}
    torch, faiss = parts.get("torch"), parts.get("faiss")
    reinstall = "install it again, for this machine: pip install --force-reinstall"
    if torch is None:
        yield failed("torch", f"cannot be imported: {outcome.why}", f"{reinstall} torch")
        return
    if gpus and torch["why_no_gpu_ranks"]:
        text = f"{torch['version']} beside {gpus} GPU(s): {torch['why_no_gpu_ranks']}"
        yield failed("torch", text, "install a torch with CUDA, or update the driver")
    elif gpus and len(torch["gpus"]) != gpus:
        text = f"sees {len(torch['gpus'])} of {gpus} GPUs"
        yield warned("torch", text, "look at CUDA_VISIBLE_DEVICES and nvidia-smi")
    else:
        kinds = sorted({f"{gpu['name']} {gpu['gib']:.0f} GiB" for gpu in torch["gpus"]})
        seen = f", {len(torch['gpus'])} GPU(s): {', '.join(kinds)}" if kinds else ", no GPU"
        yield passed("torch", f"{torch['version']}{seen}")
    if faiss is None:
        yield failed("faiss", f"cannot be imported: {outcome.why}", f"{reinstall} faiss")
    elif gpus and not faiss["gpus"]:
        yield failed("faiss", f"{faiss['version']} sees no GPU beside {gpus}", "install faiss-gpu for this CUDA")


def _port(recipe: Recipe) -> Iterator[Diagnosis]:
    """The port at which the ranks of the fine-tune meet, where the Accelerate file names one."""
    import yaml

    if read_allocation() is not None:
        return  # the step picks one that is free
    path = accelerate_file(recipe.launch, gpus=count_gpus())
    told = yaml.safe_load(path.read_text(encoding="utf-8"))
    port = told.get("main_process_port") if isinstance(told, dict) else None
    yield machine.check_port(port if isinstance(port, int) else 0, f"main_process_port of {path.name}")


def _planned(patient: Patient, recipe: Recipe) -> tuple[int | None, int | None]:
    """Bytes of a node's memory and of the run folder's disk that the plan asks for; None where it cannot tell."""
    try:
        counts = read_counts(recipe, patient.run_dir, users=None, items=None, interactions=None)
        setting = Setting(recipe, patient.run_dir, counts, machine_of(recipe, None, None, None, None))
        estimates = [estimate for estimate in estimate_stages(setting) if estimate.stage in patient.names]
    except InputError:  # said by another check, or the pair is not prepared
        return None, None
    used = bytes_below(patient.run_dir)
    return round(needed_host(setting, estimates)), max(round(needed_disk(estimates)) - used, machine.LEAST_DISK)
