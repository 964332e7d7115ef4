"""A run, or the runs of a sweep, as they are to be submitted: folders, recipes, scripts, and what holds already."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from launch.artifacts import read_json
from launch.config import Recipe
from launch.errors import InputError
from launch.options.fields import deciding
from launch.pipeline import SUBMITTED, check_folder, check_recipe
from launch.slurm.live_jobs import LiveJob
from launch.slurm.planning import COMPARE
from launch.slurm.script import check_path, compare_script, script_path, stage_script
from launch.slurm.site_file import asked, for_jobs, with_site
from launch.stages import STAGES, Stage
from launch.state.missing_keys import defaults_of, with_defaults
from launch.state.sharing import sharable
from launch.state.states import states_of, why_unreadable

TABLE = "compare.json"


@dataclass(frozen=True)
class Submission:
    """What `kinrec submit` was asked for."""

    root: Path
    """Where the scripts lie: the run's folder, or that of a sweep."""
    runs: Sequence[Path]
    recipes: Sequence[Recipe]
    """One a run."""
    base: Path | None
    """Of a sweep: the run whose finished stages its runs may share; None: no sweep."""

    @property
    def is_sweep(self) -> bool:
        """Whether its jobs are arrays, and a table is made at the end."""
        return self.base is not None

    def stages_from(self, first: str | None) -> tuple[Stage, ...]:
        """All stages from `first` on."""
        names = [stage.name for stage in STAGES]
        if first is not None and first not in names:
            raise InputError(f"--from={first}: no such stage; one of {', '.join(names)}")
        return STAGES[0 if first is None else names.index(first) :]

    def check(self, stages: Sequence[Stage]) -> None:
        """InputError for what would keep a job from its work: the folder, a file that a recipe names, an earlier stage
        that does not hold."""
        check_path(self.root)
        check_path(Path.cwd())
        for run_dir, recipe in zip(self.runs, self.recipes, strict=True):
            check_folder(recipe, run_dir)
            check_recipe(recipe, run_dir, stages)
            shared = self.shared_with(run_dir, recipe)
            earlier = [stage for stage in STAGES if stage not in stages and stage.name not in shared]
            problem = why_unreadable(run_dir, earlier, recipe, cure="submit without --from, or from {stage} on")
            if problem is not None:
                raise InputError(problem)

    def shared_with(self, run_dir: Path, recipe: Recipe) -> list[str]:
        """The stages that a run of a sweep takes over from the base run."""
        return [] if self.base is None else sharable(self.base, run_dir, recipe)

    def holds(self, *, sharing: bool) -> list[dict[str, bool]]:
        """Of each run, whether a stage has finished and holds.

        Args:
            sharing: so does what is to be taken over from the base run before any job begins.
        """
        answers = []
        for run_dir, recipe in zip(self.runs, self.recipes, strict=True):
            shared = self.shared_with(run_dir, recipe) if sharing else []
            states = states_of(run_dir, recipe)
            answers.append({name: state.holds or name in shared for name, state in states.items()})
        return answers

    def table_holds(self) -> bool | None:
        """Whether the sweep's table is of these very results; None where there is no table to make."""
        if not self.is_sweep:
            return None
        try:
            made = {entry["run"]: entry["fingerprint"] for entry in read_json(self.root / TABLE)["runs"]}
            now = {
                str(run_dir): read_json(run_dir / "manifests" / "evaluate.json")["fingerprint"] for run_dir in self.runs
            }
        except (OSError, ValueError, KeyError, TypeError):
            return False
        return made == now

    def scripts(self) -> dict[str, str]:
        """The text of each job's script."""
        first = self.recipes[0]
        slurm, name, nodes = with_site(first), first.name, first.launch.nodes
        texts = {
            stage.name: stage_script(
                stage.name,
                asked(slurm, stage.name, nodes=nodes),
                name=name,
                runs=self.runs,
                root=self.root,
                array=self.is_sweep,
            )
            for stage in STAGES
        }
        if self.is_sweep:
            wanted = asked(slurm, COMPARE, nodes=nodes)
            texts[COMPARE] = compare_script(wanted, name=name, runs=self.runs, root=self.root)
        return texts

    def script_paths(self) -> dict[str, Path]:
        """Where the scripts lie."""
        return {job: script_path(self.root, job) for job in (*(stage.name for stage in STAGES), COMPARE)}

    def recipe_files(self) -> dict[Path, str]:
        """What each run's jobs read their recipe from."""
        return {
            run_dir / SUBMITTED: yaml.safe_dump(for_jobs(recipe).resolved(), sort_keys=False, allow_unicode=True)
            for run_dir, recipe in zip(self.runs, self.recipes, strict=True)
        }

    def check_unchanged(self, live: Mapping[str, Sequence[LiveJob]]) -> None:
        """InputError if jobs that are queued or at work would find another recipe, or other runs."""
        if not any(live.values()):
            return
        ids = " ".join(sorted({job.job for jobs in live.values() for job in jobs}, key=int))
        for run_dir, recipe in zip(self.runs, self.recipes, strict=True):
            before = _read_yaml(run_dir / SUBMITTED)
            changed = _first_change(before, recipe) if before is not None else None
            if changed is not None:
                raise InputError(
                    f"{run_dir}: {changed} differs from what jobs {ids} of this run were submitted with; "
                    f"wait for their end, or `scancel {ids}`, then submit again"
                )
        known = _read_yaml(self.root / "slurm" / "sweep.json")
        if self.is_sweep and known is not None and known.get("runs") != [str(path) for path in self.runs]:
            raise InputError(
                f"{self.root}: jobs {ids} of a sweep over other runs are not at their end; wait for them, or "
                f"`scancel {ids}`, then submit again"
            )


def _read_yaml(path: Path) -> dict[str, Any] | None:  # Any: plain YAML values
    try:
        plain = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return None
    return plain if isinstance(plain, dict) else None


def _first_change(before: Mapping[str, Any], recipe: Recipe) -> str | None:
    """The first key that decides and is not as it was; one that was not known then was at its default."""
    if before.get("seed") != recipe.seed:
        return "seed"
    for stage in STAGES:
        config, was = recipe.sections[stage.section], before.get(stage.section)
        known = with_defaults(was if isinstance(was, dict) else {}, defaults_of(stage, config))
        key = _difference(known, deciding(config), stage.section)
        if key is not None:
            return key
    return None


def _difference(was: Mapping[str, Any], now: Mapping[str, Any], prefix: str) -> str | None:
    for key, value in now.items():
        name = f"{prefix}.{key}"
        if isinstance(value, dict):
            inside = was.get(key)
            deeper = _difference(inside if isinstance(inside, dict) else {}, value, name)
            if deeper is not None:
                return deeper
        elif was.get(key) != value:
            return name
    return None
