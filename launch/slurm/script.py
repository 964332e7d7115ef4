"""The text of a batch script: what is asked of SLURM, the site's own lines, the command, what its status means.

A person can read it, change it, and start it by hand: `sbatch RUN/slurm/STAGE.sbatch`.
"""

import re
import shlex
import site
from collections.abc import Iterator, Sequence
from pathlib import Path

from launch.cluster.step import CONTAINER
from launch.errors import InputError
from launch.processes.commands import ROOT, module_words
from launch.slurm.site_file import Asked

HEAD = """\
#!/bin/bash
# {what}, written by `kinrec submit`. By hand: sbatch {script}
"""
FIXED = ("--requeue", "--open-mode=append", "--kill-on-invalid-dep=yes")
RUNS = """\
# One task of this array a run.
RUNS=(
{lines}
)
RUN=${{RUNS[$SLURM_ARRAY_TASK_ID]}}
"""
END = """\
status=$?

# 75: told to end (time limit, pre-emption), it has saved and goes on in this same job, later.
if [ "$status" -eq 75 ]; then
    scontrol requeue "{job}" && exit 0
    echo "kinrec: SLURM does not requeue this job; submit the run again, it goes on where it stopped" >&2
fi
exit "$status"
"""


def stage_script(stage: str, wanted: Asked, *, name: str, runs: Sequence[Path], root: Path, array: bool) -> str:
    """The script of one stage.

    Args:
        name: the recipe's.
        runs: the folder of the run; of an array, one for each of its tasks.
        root: the folder that `slurm/` and `logs/` lie in: the run's, or that of a sweep.
    """
    what = f"Stage {stage} of {name}" + (f", {len(runs)} runs" if array else "")
    run = '"$RUN"' if array else quoted(runs[0])
    recipe = f"{run}/slurm/recipe.yaml" if array else quoted(runs[0] / "slurm" / "recipe.yaml")
    choose = [RUNS.format(lines="\n".join(f"    {quoted(path)}" for path in runs))] if array else []
    job = "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID" if array else "$SLURM_JOB_ID"
    body = [
        *choose,
        *_doctor(stage, wanted, recipe, run),
        "# The stage, on the nodes of this job: a finished one ends at once, a stopped one goes on.\n"
        + " ".join([_kinrec(), stage, recipe, f"--run_dir={run}"])
        + "\n"
        + END.format(job=job),
    ]
    return "\n".join(
        [_head(what, stage, wanted, name=name, root=root, tasks=len(runs) if array else 0), *_setup(wanted), *body]
    )


def compare_script(wanted: Asked, *, name: str, runs: Sequence[Path], root: Path) -> str:
    """The script of the last job of a sweep: the table of its runs."""
    listed = " \\\n".join(f"    {quoted(path)}" for path in runs)
    body = (
        "# The table of all runs that have finished; status 1 if one has not.\n"
        f"{_kinrec()} compare --finished --save={quoted(root)} \\\n{listed}\n"
    )
    head = _head(f"The table of {name}, {len(runs)} runs", "compare", wanted, name=name, root=root)
    return "\n".join([head, *_setup(wanted), body])


def script_path(root: Path, job: str) -> Path:
    """Where a job's script lies."""
    return root / "slurm" / f"{job}.sbatch"


def log_path(root: Path, job: str, *, array: bool = False) -> Path:
    """Where SLURM writes what a job prints; %a is the number of an array's task."""
    return root / "logs" / f"{job}{'-%a' if array else ''}.slurm"


def check_path(path: Path) -> None:
    """InputError for a folder that sbatch could not take as it is: it knows quotes, escapes and % signs of its own."""
    if not str(path).isprintable() or re.search(r"[%\\\"'`$!]", str(path)):
        raise InputError(f"{path}: a name with quotes, $, %, !, \\ or control characters cannot be given to sbatch")


def quoted(path: Path) -> str:
    """A path as one word of a script."""
    return shlex.quote(str(path))


def _head(what: str, job: str, wanted: Asked, *, name: str, root: Path, tasks: int = 0) -> str:
    """Args: tasks: of an array; 0: none."""
    script = script_path(root, job)
    options = [
        f"--job-name=kinrec-{re.sub(r'[^A-Za-z0-9_.-]+', '_', name)}-{job}",
        f"--nodes={wanted.nodes}",
        "--ntasks-per-node=1",
        *_given("--cpus-per-task", wanted.cpus),
        *_given("--mem", wanted.memory),
        *_given("--gres", wanted.gpus and f"gpu:{wanted.gpus}"),
        *_given("--time", wanted.time),
        *_given("--account", wanted.account),
        *_given("--partition", wanted.partition),
        *_given("--qos", wanted.qos),
        *_given("--constraint", wanted.constraint),
        f'--chdir="{Path.cwd()}"',
        f'--output="{log_path(root, job, array=tasks > 0)}"',
        f"--signal=USR1@{wanted.signal_seconds}",
        *FIXED,
        *wanted.raw,
    ]
    by_hand = " ".join([*([f"--array=0-{tasks - 1}"] if tasks else []), quoted(script)])
    return HEAD.format(what=what, script=by_hand) + "".join(f"#SBATCH {option}\n" for option in options)


def _given(option: str, value: object) -> Iterator[str]:
    if value is not None:
        yield f"{option}={value}"


def _setup(wanted: Asked) -> Iterator[str]:
    if wanted.setup:
        yield "# The site's own lines.\n" + "".join(f"{line}\n" for line in wanted.setup)
    lines = []
    if wanted.container is not None:
        lines.append(f"export {CONTAINER}={shlex.quote(wanted.container)}\n")
    if str(ROOT) not in {*site.getsitepackages(), site.getusersitepackages()}:  # a checkout that is not installed
        lines.append(f"export PYTHONPATH={quoted(ROOT)}${{PYTHONPATH:+:$PYTHONPATH}}\n")
    if lines:
        yield "".join(lines)


def _doctor(stage: str, wanted: Asked, recipe: str, run: str) -> Iterator[str]:
    """In a container it looks from within: what is installed outside is not what the stage finds."""
    if wanted.doctor:
        inside = shlex.join(["srun", "--overlap", "--nodes=1", "--ntasks=1", *shlex.split(wanted.container or "")])
        within = [inside] if wanted.container else []
        words = [*within, _kinrec(), "doctor", recipe, f"--run_dir={run}", f"--stage={stage}", "--brief"]
        yield (
            "# First a look at these nodes: a check that fails says its cure and ends the job.\n"
            f"{' '.join(words)} || exit 1\n"
        )


def _kinrec() -> str:
    """The command, of the very Python and code that submits."""
    return shlex.join(module_words("launch.cli", []))
