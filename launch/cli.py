"""The command `kinrec`: it parses words, starts processes, and imports nothing heavy.

kinrec demo
kinrec run art_office_cpu --pair.path=DIR
kinrec status runs/demo
"""

import argparse
import atexit
import importlib.util
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from launch.cluster.allocation import refuse_lone_tasks
from launch.errors import InputError, one_line
from launch.processes.forward import forward_stops
from launch.processes.signals import STOP_MARK, STOPPED_STATUS, ignore_stops
from launch.stage import USER_ERROR_STATUS, configure_logging
from launch.stages import STAGES, stage_named
from launch.stopping import Stopped
from launch.terminal import shown

log = logging.getLogger(__name__)

USAGE = """\
kinrec COMMAND ...

  demo                          the whole pipeline on the built-in synthetic pair, on CPU
  run RECIPE                    all stages of a recipe here, resuming what has finished
  {stages}
                                one stage of a recipe
  submit RECIPE [--dry-run] [--from STAGE] [--sweep section.key=a,b,c] [--seeds 1,2,3]
                                the same stages as SLURM jobs, each of them a script in the run folder
  status RUN... [--watch]       what has finished, what is stale; ranks and jobs at work, rate, time left; the headline
  doctor [RECIPE]               can this machine, or this allocation, run it: a line a check, with the cure
  plan RECIPE [--nodes=N] [--processes=P] [--gpu-memory=GIB] [--users=N --items=N]
                                what it is going to need: memory a rank, disk, time, the DeepSpeed file that fits
  recommend RUN --domain D --history "title" [--history "title" ...]
                                ask a trained run; --questions FILE: many, a line of JSON each, the run loaded once
  show-prompts RUN [--n 5] [--split test] [--sample ID ...]
                                what the language model reads, what it costs in tokens, what was left out
  compare RUN RUN ...           the final lists of several runs side by side, with intervals;
                                of one RUN: --systems graph,ridge,...
  ablate RECIPE [--parts a,b,c] [--seeds 1,2,3]
                                what each part of the graph and of the ranking earns: a run with each the other way

demo, run, the stages, submit and ablate take --run_dir=DIR and --section.key=value for any key of the recipe.
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command; the exit status is 2 for a user's mistake, 1 for a fault of ours, 75 where it was stopped."""
    words = list(sys.argv[1:] if argv is None else argv)
    configure_logging()
    end_on_signal()
    try:
        sys.exit(dispatch(words))
    except KeyboardInterrupt:
        sys.exit(130)
    except Stopped as stop:
        sys.stderr.write(f"{STOP_MARK} at {stop}; the same command resumes\n")
        sys.exit(STOPPED_STATUS)
    except Exception as error:
        line = one_line(error)
        if line is None:
            from launch.processes.starter import StageError
            from launch.state.history import NoProgress

            if not isinstance(error, (StageError, NoProgress)):
                raise
            sys.stderr.write(f"kinrec: {shown(str(error))}\n")
            sys.exit(1)
        sys.stderr.write(f"kinrec: error: {shown(line)}\n")
        sys.exit(USER_ERROR_STATUS)


def dispatch(words: list[str]) -> int:
    """Run the command that `words` ask for; its exit status."""
    names = [stage.name for stage in STAGES]
    if not words or words[0] in {"-h", "--help", "help"}:
        sys.stdout.write(USAGE.format(stages=" | ".join(names) + "  RECIPE"))
        return 0
    command, rest = words[0], words[1:]
    if command == "demo":
        return run(["demo", *rest])
    if command == "run":
        return run(rest)
    if command in names:
        return run(rest, stage=command)
    if command == "status":
        return status(rest)
    if command == "submit":
        from launch.slurm.command import main as submit

        return submit(rest)
    if command == "ablate":
        from launch.ablation.command import main as ablate

        return ablate(rest)
    if command == "doctor":
        from launch.doctor.command import doctor

        return doctor(rest)
    if command == "plan":
        from launch.plan.command import plan

        return plan(rest)
    if command == "recommend":
        if rest and not rest[0].startswith("-"):  # before the seconds that its imports take
            from launch.state.states import check_finished

            check_finished(Path(rest[0]))
        return start_module("training.recommend", rest)
    if command == "show-prompts":
        return start_module("training.show_prompts", rest)
    if command == "compare":
        return start_module("evaluation.compare", rest)
    raise InputError(f"unknown command {command!r}; `kinrec --help` lists them")


def run(words: list[str], stage: str | None = None) -> int:
    """`kinrec run RECIPE`, or one stage of it."""
    from launch.pipeline import open_recipe, run_stages
    from launch.summary import render_summary

    refuse_lone_tasks()
    parser = argparse.ArgumentParser(prog=f"kinrec {stage or 'run'}", allow_abbrev=False, add_help=True)
    parser.add_argument("recipe", help="the name of a shipped recipe, or a .yaml file")
    parser.add_argument("--run_dir", type=Path, help="the run's folder; default runs/NAME")
    known, overrides = parser.parse_known_args(words)
    recipe, run_dir = open_recipe(known.recipe, overrides, known.run_dir)
    forward_stops()
    atexit.register(ignore_stops)
    run_stages(recipe, run_dir, stages=STAGES if stage is None else (stage_named(stage),))
    if stage in {None, "evaluate"}:
        sys.stdout.write(render_summary(run_dir))
    return 0


def status(words: list[str]) -> int:
    """`kinrec status RUN... [--watch]`."""
    from launch.status.status import main as show

    return show(words)


def start_module(module: str, words: list[str]) -> int:
    """Run a module of a heavier package as a process of its own; its exit status."""
    from launch.processes import starter

    if importlib.util.find_spec(module.partition(".")[0]) is None:
        raise InputError(f"{module} is not installed; install the whole of KinRec")
    return starter.start_module(module, words)


def end_on_signal() -> None:
    """SIGTERM and SIGHUP end the command as Ctrl-C does: what it has started ends first, then it, with 128 + number."""

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)
        sys.stderr.write(f"kinrec: ended by {signal.Signals(number).name}; the same command resumes\n")
        sys.exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup ignores the second: so do we
            signal.signal(number, end)


if __name__ == "__main__":
    main()
