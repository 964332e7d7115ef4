"""What status says of a run's jobs, with a SLURM that keeps no accounts."""

from pathlib import Path

from launch.artifacts import write_json
from launch.stages import stage_named
from launch.state.history import recorded
from launch.status.status import render_status
from tests.slurm.cluster import Cluster


def test_failed_stage_cancels_dependents_and_status_says_why(slurm: Cluster, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    (run_dir / "manifests").mkdir(parents=True)
    failed = slurm.sbatch("exit 1", folder=tmp_path)
    options = (f"--dependency=afterok:{failed}", "--kill-on-invalid-dep=yes")
    child = slurm.sbatch("true", *options, folder=tmp_path)
    grandchild = slurm.sbatch("true", f"--dependency=afterok:{child}", "--kill-on-invalid-dep=yes", folder=tmp_path)
    afters = {"pretrain": (failed, None), "retrieve": (child, failed), "tokenize": (grandchild, child)}
    entries = [
        {"stage": stage, "job": job, "script": "", "after": after and f"afterok:{after}", "submitted": 0}
        for stage, (job, after) in afters.items()
    ]
    write_json(run_dir / "slurm" / "jobs.json", entries)
    try:
        with recorded(run_dir, stage_named("pretrain"), ranks=2):
            raise RuntimeError("the loss is not finite")
    except RuntimeError:
        pass
    for job in (failed, child, grandchild):
        slurm.wait(job)
    lines = [line.strip() for line in render_status(run_dir).splitlines() if " job " in line]
    because = ": the loss is not finite"
    retrieve = f": it waits for pretrain (job {failed}), which is failed{because}"
    assert [" ".join(line.split()) for line in lines] == [
        f"pretrain job {failed}: failed on {slurm.job(failed)['NodeList']}{because}",
        f"retrieve job {child}: cancelled{retrieve}",
        f"tokenize job {grandchild}: cancelled: it waits for retrieve (job {child}), which is cancelled{retrieve}",
    ]


def test_job_that_waits_for_ever_is_called_so(slurm: Cluster, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    (run_dir / "manifests").mkdir(parents=True)
    failed = slurm.sbatch("exit 1", folder=tmp_path)
    slurm.wait(failed)
    child = slurm.sbatch("true", f"--dependency=afterok:{failed}", "--kill-on-invalid-dep=no", folder=tmp_path)
    entry = {"script": "", "submitted": 0}
    write_json(
        run_dir / "slurm" / "jobs.json",
        [
            {"stage": "pretrain", "job": failed, "after": None, **entry},
            {"stage": "retrieve", "job": child, "after": f"afterok:{failed}", **entry},
        ],
    )
    assert f"job {child}: pending (Dependency" in render_status(run_dir)
