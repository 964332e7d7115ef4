"""What every stage's `main` is made of: parse its job, open the stage, say errors in one line."""

import argparse
import functools
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from launch.artifacts import write_text
from launch.cluster.allocation import refuse_lone_tasks
from launch.config import default_run_dir, find_recipe, load_recipe
from launch.errors import InputError, one_line
from launch.processes.garbage import search_as_usual
from launch.processes.lock import hold_lock
from launch.processes.orphans import COMMAND, die_with_parent
from launch.processes.signals import note_stop
from launch.ranks import is_rank, rank, world_size
from launch.stages import Stage, stage_named
from launch.state.parking import settle
from launch.state.provenance import provenance
from launch.state.starts import begin, finish
from launch.state.states import intent_of, why_unreadable
from launch.stopping import Stopped, is_asked, stopped_path
from launch.terminal import ShownFormatter, shown
from launch.watch import watchdog
from launch.watch.beats import long
from launch.watch.failures import record_failure
from launch.watch.marks import LOG, rank_file
from launch.watch.task import task_of

if TYPE_CHECKING:
    from launch.distributed import World

C = TypeVar("C")
ERROR_FILE = "KINREC_ERROR_FILE"
USER_ERROR_STATUS = 2
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job(Generic[C]):
    """One start of one stage."""

    stage: Stage
    config: C
    seed: int
    run_dir: Path
    recipe_name: str
    sections: Mapping[str, Any] = field(default_factory=dict)  # Any: one type of configuration a section
    """All sections of the recipe: another stage's say which base model, and whose code to trust."""
    external: list[Path] = field(default_factory=list)
    """Files and folders outside the run that the stage read; the stage's body adds to it."""


def parse_job(config_type: type[C], stage: str, argv: list[str] | None = None) -> Job[C]:
    """Read `--config RECIPE [--run_dir DIR] [--section.key=value ...]` for `stage`."""
    refuse_lone_tasks()
    parser = argparse.ArgumentParser(prog=f"python -m {stage_named(stage).module}", allow_abbrev=False)
    parser.add_argument("--config", required=True, help="a recipe: a .yaml file or the name of a shipped one")
    parser.add_argument("--run_dir", type=Path, help="the run's folder; default runs/NAME")
    known, overrides = parser.parse_known_args(argv)
    recipe = load_recipe(find_recipe(known.config), overrides)
    config = recipe.sections[stage_named(stage).section]
    assert isinstance(config, config_type)
    run_dir = known.run_dir or default_run_dir(recipe)
    if is_rank() and watchdog.current_task() is None:  # a launcher that a user started: imports have gone unwatched
        watchdog.start(task_of(stage_named(stage), run_dir=run_dir, launch=recipe.launch))
        keep_log()
    return Job(
        stage=stage_named(stage),
        config=config,
        seed=recipe.seed,
        run_dir=run_dir,
        recipe_name=recipe.name,
        sections=recipe.sections,
    )


@contextmanager
def open_stage(job: Job[Any], world: "World | None" = None) -> Iterator[None]:
    """Check what the stage reads, clear or keep what an earlier start left, write the manifest at the end."""
    started = time.monotonic()
    told = job if job.sections else None
    intent = intent_of(job.run_dir, job.stage, config=job.config, seed=job.seed, recipe=told)
    with ExitStack() as held:
        problem: str | None = None
        if world is None or world.is_main:
            reads = [stage_named(name) for name in job.stage.reads]
            problem = why_unreadable(job.run_dir, reads, told, cure="run `kinrec {stage}` first")
            if problem is None:
                problem = _why_taken(job.run_dir, held)
            if problem is None and begin(job.run_dir, job.stage, intent):
                log.info("resuming %s", job.stage.name)
        if world is not None:
            problem = world.broadcast_object(problem)
        if problem is not None:
            raise InputError(problem)
        try:
            yield
        except Stopped as stop:
            if world is None or world.is_main:
                note_stop(stopped_path(job.run_dir, job.stage), where=stop.where)
                log.info("%s is stopped at %s", job.stage.name, stop.where)
            if world is not None:
                world.barrier()  # a launcher ends the ranks that are left when one has failed
            raise
        except Exception as error:
            note_failure(error)  # now: what follows may wait for the others
            if world is None or world.size == 1:  # others might still write; the command settles it after them
                settle(job.run_dir, job.stage)
            raise
        if world is not None:
            world.barrier()
        if world is None or world.is_main:
            facts = {"seconds": round(time.monotonic() - started, 3), **provenance(world)}
            with long("manifest"):
                finish(job.run_dir, job.stage, intent, external=job.external, facts=facts)
            log.info("%s finished in %.1f s", job.stage.name, facts["seconds"])
            if is_asked():  # too late to stop here; the command need not begin the next
                note_stop(stopped_path(job.run_dir, job.stage), where=None)


def entry_point(main: Callable[..., None]) -> Callable[..., None]:
    """Set up logging; end a user's mistake with one line and status 2, a fault of ours with its traceback, a stage that
    was stopped with 0."""

    @functools.wraps(main)
    def wrapped(argv: list[str] | None = None) -> None:
        search_as_usual()
        configure_logging()
        if "TORCHELASTIC_RUN_ID" in os.environ and COMMAND not in os.environ:  # a launcher that a user started
            die_with_parent()
        try:
            main(argv)
        except Stopped:  # a launcher knows but one good status: the command reads what is written down
            return
        except Exception as error:
            note_failure(error)
            watchdog.end(failed=True)
            line = one_line(error)
            if line is None:
                raise
            report_error(line)
            if world_size() > 1:
                # A rank that waits in a collective must not keep this one from ending: leave without clean-up.
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(USER_ERROR_STATUS)
            raise SystemExit(USER_ERROR_STATUS) from error

    return wrapped


def report_error(line: str) -> None:
    """Show a user's mistake, and leave it where the command that started us looks for it."""
    sys.stderr.write(f"kinrec: error: {shown(line)}\n")
    path = os.environ.get(ERROR_FILE)
    if path:
        try:
            write_text(Path(path), line)
        except OSError:  # the disk is full: that is what the line says, and stderr has it
            log.debug("could not write %s", path)


def configure_logging() -> None:
    """One line a record on stderr, with the rank when there are several."""
    label = f" [rank {rank()}]" if world_size() > 1 else ""
    level = logging.INFO if rank() == 0 else logging.WARNING
    handler = logging.StreamHandler()
    handler.setFormatter(ShownFormatter(f"%(asctime)s{label} %(name)s: %(message)s", datefmt="%H:%M:%S"))
    handler.setLevel(level)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    keep_log()
    for noisy in ("httpx", "urllib3", "bm25s", "fsspec", "filelock"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # torch 2.13 deprecates collectives that DeepSpeed still calls: thousands of equal lines.
    warnings.filterwarnings("ignore", message=".*torch.distributed.*deprecated.*", category=FutureWarning)


def keep_log() -> None:
    """This rank's own log, from INFO on whatever its rank: `logs/STAGE/rank-N.log`."""
    task = watchdog.current_task()
    if task is None:
        return
    try:
        handler = logging.FileHandler(rank_file(Path(task.folder), rank(), LOG), encoding="utf-8")
    except OSError as error:
        log.warning("this rank keeps no log of its own: %s", error)
        return
    handler.setFormatter(ShownFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)


def note_failure(error: Exception) -> None:
    """Leave this rank's failure where the command that started it looks for the first."""
    task = watchdog.current_task()
    if task is not None:
        record_failure(error, folder=Path(task.folder), stage=task.stage, rank=rank())


def _why_taken(run_dir: Path, held: ExitStack) -> str | None:
    """Hold the run's lock until `held` ends, or say who holds it; a problem that all ranks have to hear of."""
    try:
        held.enter_context(hold_lock(run_dir))
    except InputError as error:
        return str(error)
    return None
