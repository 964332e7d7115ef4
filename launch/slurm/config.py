"""The recipe's section `slurm`: what `kinrec submit` asks of the cluster for each stage's job."""

import re
import shlex
from dataclasses import dataclass, field

from launch.options.fields import Means

NAME = r"\w[\w.,:+@%/=-]*"
PATTERNS = {
    "account": NAME,
    "partition": NAME,
    "qos": NAME,
    "constraint": r"[\w(\[][\w.,:+@&|()\[\]*!=-]*",
    "memory": r"\d+[KMGT]?",
    "time": r"\d+(:\d{1,2}){0,2}|\d+-\d{1,2}(:\d{1,2}){0,2}",
}
FORMS = {
    "constraint": "features of nodes such as a100 or a100&ib",
    "memory": "a number with K, M, G or T, such as 200G; 0 for all of a node",
    "time": 'text such as "12:00:00" or 2-12:00:00',
}
OURS = (
    "array", "chdir", "dependency", "error", "help", "job-name", "kill-on-invalid-dep", "no-requeue", "nodes", "ntasks",
    "ntasks-per-node", "open-mode", "output", "parsable", "requeue", "signal", "test-only", "usage", "version", "wait",
    "wrap",
)  # fmt: skip
OUR_LETTERS = "aDdehJNnoVW"
"""Options of sbatch, and their letters, that the scripts set themselves or that would keep them from their work."""


@dataclass(frozen=True, kw_only=True)
class JobConfig:
    """What one job asks of SLURM; null: not asked for."""

    account: Means[str | None] = None
    """Account that pays; empty text: none, though the site file names one (so for every text here)."""
    partition: Means[str | None] = None
    """Partition, or several with commas."""
    qos: Means[str | None] = None
    """Quality of service."""
    constraint: Means[str | None] = None
    """Features that the nodes must have (a100&ib)."""
    gpus: Means[int | None] = None
    """GPUs on each node of pretrain, retrieve, finetune and generate (--gres=gpu:N); another job gets some only by
    its own keys. A type is asked for in `raw` instead: --gres=gpu:a100:8."""
    cpus: Means[int | None] = None
    """Cores on each node; null: as many as the cluster gives a job that does not ask, on many one alone."""
    memory: Means[str | None] = None
    """Memory on each node (200G; 0: all of it)."""
    time: Means[str | None] = None
    """Time limit ("12:00:00", 2-12:00:00). A stage that needs more saves, ends, and goes on in the next job."""
    signal_seconds: Means[int | None] = None
    """Seconds before the time limit at which the stage is told to save and end; null: 300."""
    setup: Means[list[str] | None] = None
    """Lines of shell before the command (module load cuda). They run as they are: read a stranger's recipe first."""
    container: Means[str | None] = None
    """What each node's process is started in: a command that takes another one (apptainer exec --nv kinrec.sif), or
    options of srun (--container-image=kinrec.sqsh). The `kinrec` of the batch script runs outside: it needs srun."""
    doctor: Means[bool | None] = None
    """Whether the job looks at its nodes first (`kinrec doctor`) and ends where a check fails; null: it does."""
    raw: Means[list[str] | None] = None
    """Further options of sbatch, passed through as #SBATCH lines (--exclusive)."""


@dataclass(frozen=True, kw_only=True)
class StageJobConfig(JobConfig):
    """One stage's own job: what is given here wins over the rest of the section."""

    nodes: Means[int | None] = None
    """Nodes; null: launch.nodes for pretrain, finetune and generate, one for the others."""


@dataclass(frozen=True, kw_only=True)
class StagesConfig:
    """The same keys for one stage's job alone, and `nodes`."""

    prepare: StageJobConfig = field(default_factory=StageJobConfig)
    pretrain: StageJobConfig = field(default_factory=StageJobConfig)
    retrieve: StageJobConfig = field(default_factory=StageJobConfig)
    tokenize: StageJobConfig = field(default_factory=StageJobConfig)
    finetune: StageJobConfig = field(default_factory=StageJobConfig)
    generate: StageJobConfig = field(default_factory=StageJobConfig)
    evaluate: StageJobConfig = field(default_factory=StageJobConfig)


@dataclass(frozen=True, kw_only=True)
class SlurmConfig(JobConfig):
    """What `kinrec submit` asks of SLURM for each stage's job. Results do not depend on it."""

    site: Means[str | None] = None
    """A YAML file with the same keys, for all recipes on one cluster; null: $KINREC_SITE, if set. A key of the recipe
    wins over the same key there."""
    cpu: JobConfig = field(default_factory=JobConfig)
    """The same keys for the jobs that need no GPU: prepare, tokenize, evaluate, and the table of a sweep."""
    stages: StagesConfig = field(default_factory=StagesConfig)

    def __post_init__(self) -> None:
        check_job(self, "slurm")
        check_job(self.cpu, "slurm.cpu")
        for name, job in vars(self.stages).items():
            check_job(job, f"slurm.stages.{name}")


def check_job(job: JobConfig, where: str) -> None:
    """ValueError for a value that could be more than the one option, or the one line, that it stands for."""
    for name, pattern in PATTERNS.items():
        value = getattr(job, name)
        if value and re.fullmatch(pattern, value, flags=re.ASCII) is None:
            raise ValueError(f"{where}.{name} must be {FORMS.get(name, 'a plain name')}, got {value!r}")
    for name, least in (("gpus", 0), ("cpus", 1), ("signal_seconds", 1), ("nodes", 1)):
        value = getattr(job, name, None)
        if value is not None and value < least:
            raise ValueError(f"{where}.{name} must be at least {least}, got {value}")
    for name in ("setup", "raw"):
        for line in getattr(job, name) or ():
            check_line(f"{where}.{name}", line)
    check_line(f"{where}.container", job.container or "")
    try:
        shlex.split(job.container or "")
    except ValueError as error:
        raise ValueError(f"{where}.container: {error} in {job.container!r}") from error
    for line in job.raw or ():
        check_raw(f"{where}.raw", line)


def check_line(name: str, line: str) -> None:
    """ValueError for what would not be one line of a script."""
    if not line.isprintable():
        raise ValueError(f"{name} must be single lines without control characters, got {line!r}")


def check_raw(name: str, line: str) -> None:
    """ValueError unless `line` is an option of sbatch that the scripts do not set themselves."""
    option = re.match(r"--([a-z][\w-]*)|-([A-Za-z])", option_of(line))
    if option is None:
        raise ValueError(f"{name} must be options of sbatch (--exclusive), got {line!r}")
    long, short = option.groups()
    taken = short in OUR_LETTERS if short else any(own.startswith(long) for own in OURS)  # sbatch takes beginnings
    if taken:
        raise ValueError(f"{name}: kinrec submit sets {option[0]} itself; leave {line!r} out")


def option_of(line: str) -> str:
    """A raw line without the #SBATCH that it may begin with."""
    return re.sub(r"^#SBATCH\s+", "", line.strip())
