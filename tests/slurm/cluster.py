"""A SLURM cluster as tests talk to it: submit, allocate, wait, ask for a job's state, cancel.

Accounting is off, as on many clusters: states come from `scontrol`.
"""

import os
import re
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tests.end_to_end.runs import ROOT

OVER = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE"}
JOB_NAME = "kinrec-test"
POLL_SECONDS = 0.25
Job = dict[str, str]


class Cluster:
    """Two nodes or more, and what these tests have submitted to them."""

    def __init__(self) -> None:
        self._submitted: list[str] = []

    def sbatch(self, script: str, *options: str, folder: Path, environment: dict[str, str] | None = None) -> str:
        """Submit `script` (the lines after `#!/bin/bash`) from `folder`; the job's id.

        Its output goes to `folder/ID.out`, unless an option says otherwise.
        """
        words = ["sbatch", "--parsable", f"--job-name={JOB_NAME}", f"--output={folder}/%j.out", *options]
        ended = subprocess.run(
            words,
            input=f"#!/bin/bash\n{script}\n",
            cwd=folder,
            env={**outside(), **(environment or {})},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return self.watch(ended.stdout.strip().partition(";")[0])

    def salloc(
        self, *words: str, nodes: int = 2, options: Sequence[str] = (), timeout: float = 600, cwd: Path = ROOT
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside an allocation of its own to its end. Its status is salloc's."""
        return subprocess.run(
            allocated(*words, nodes=nodes, options=options),
            cwd=cwd,
            env=outside(),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def nodes(self) -> list[str]:
        """SLURM's names of its nodes, in its order."""
        told = subprocess.run(["sinfo", "-h", "-N", "-o", "%N"], capture_output=True, text=True, check=True)
        return list(dict.fromkeys(told.stdout.split()))

    def watch(self, job: str) -> str:
        """Cancel `job` at the end of the tests, whoever submitted it."""
        self._submitted.append(job)
        return job

    def job(self, job: str) -> Job:
        """What SLURM says of a job: JobState, ExitCode, Reason, Restarts, NodeList, Dependency, ..."""
        ended = subprocess.run(["scontrol", "-o", "show", "job", job], capture_output=True, text=True, check=False)
        assert ended.returncode == 0, f"job {job}: {ended.stderr}"
        return dict(re.findall(r"(\S+?)=(\S*)", ended.stdout.splitlines()[0]))

    def state(self, job: str) -> str:
        """PENDING, RUNNING, COMPLETED, FAILED, ..."""
        return self.job(job)["JobState"]

    def wait_for(self, job: str, *states: str, timeout: float = 300) -> Job:
        """The job, once it is in one of `states`. AssertionError if it ends in another, or not in time."""
        deadline = time.monotonic() + timeout
        while (told := self.job(job))["JobState"] not in states:
            assert told["JobState"] not in OVER, f"job {job}: {told['JobState']}, {self.output(told)}"
            assert time.monotonic() < deadline, f"job {job} is still {told['JobState']}: {self.output(told)}"
            time.sleep(POLL_SECONDS)
        return told

    def wait(self, job: str, timeout: float = 300) -> Job:
        """The job, once it is over, however it ended. A job that is requeued is not."""
        return self.wait_for(job, *OVER, timeout=timeout)

    def cancel(self, job: str, *options: str) -> None:
        """`scancel`; with `--signal=USR1` and the like it only tells the job's steps."""
        subprocess.run(["scancel", *options, job], check=False, capture_output=True)

    def release(self, job: str) -> None:
        """Let a job begin that was submitted with `--hold`."""
        subprocess.run(["scontrol", "release", job], check=True, capture_output=True)

    def output(self, job: Job) -> str:
        """The end of what a job wrote."""
        path = Path(job.get("StdOut", ""))
        return path.read_text(encoding="utf-8", errors="replace")[-4000:] if path.is_file() else "no output"

    def cancel_all(self) -> None:
        """Cancel what these tests have left."""
        for job in self._submitted:
            self.cancel(job)


def allocated(*words: str, nodes: int = 2, options: Sequence[str] = ()) -> list[str]:
    """The command that runs `words` here, inside an allocation of `nodes` nodes."""
    return ["salloc", "--quiet", f"--job-name={JOB_NAME}", f"--nodes={nodes}", "--exclusive", *options, *words]


def outside() -> dict[str, str]:
    """The environment of a user who is in no allocation, even where the tests themselves run in one."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("SLURM_", "SBATCH_", "SALLOC_"))} | {
        key: os.environ[key] for key in ("SLURM_CONF",) if key in os.environ
    }
