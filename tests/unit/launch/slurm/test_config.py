"""The section `slurm`: nothing in it can be more than the one option, or the one line, that it stands for."""

from pathlib import Path

import pytest

from launch.config import Recipe, load_recipe
from launch.errors import InputError
from launch.slurm.site_file import SITE, asked, for_jobs, with_site


def recipe_of(tmp_path: Path, text: str, *overrides: str) -> Recipe:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return load_recipe(path, overrides)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("slurm: {partition: 'gpu --wrap=id'}", "slurm.partition"),
        ("slurm: {account: '-x'}", "slurm.account"),
        ('slurm: {qos: "a\\n#SBATCH --uid=0"}', "slurm.qos"),
        ("slurm: {constraint: 'a100 b'}", "slurm.constraint"),
        ("slurm: {memory: '200 GB'}", "slurm.memory"),
        ("slurm: {time: tomorrow}", "slurm.time"),
        ("slurm: {stages: {finetune: {time: '1:2:3:4'}}}", "slurm.stages.finetune.time"),
        ("slurm: {cpu: {partition: 'a;b'}}", "slurm.cpu.partition"),
        ('slurm: {setup: ["a\\nb"]}', "slurm.setup"),
        ('slurm: {container: "a\\rb"}', "slurm.container"),
        ("slurm: {container: 'run \"image.sif'}", "slurm.container"),
        ("slurm: {raw: ['sleep 9']}", "slurm.raw"),
        ("slurm: {raw: ['--array=0-9']}", "slurm.raw"),
        ("slurm: {raw: ['#SBATCH --depend=singleton']}", "slurm.raw"),
        ("slurm: {raw: [-d singleton]}", "slurm.raw"),
        ("slurm: {raw: [--no-requeue]}", "slurm.raw"),
        ("slurm: {gpus: -1}", "slurm.gpus"),
        ("slurm: {cpus: 0}", "slurm.cpus"),
        ("slurm: {stages: {generate: {nodes: 0}}}", "slurm.stages.generate.nodes"),
        ("slurm: {stages: {pretend: {nodes: 1}}}", "slurm.stages.pretend"),
    ],
)
def test_what_is_no_plain_value_is_refused_by_its_key(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(InputError, match=named.replace(".", r"\.")):
        recipe_of(tmp_path, text)


@pytest.mark.parametrize("line", ["--exclusive", "#SBATCH --gres=gpu:a100:4", "-x node7", "--mail-type=END"])
def test_other_options_pass(tmp_path: Path, line: str) -> None:
    recipe = recipe_of(tmp_path, f"slurm: {{raw: ['{line}']}}")
    assert asked(recipe.slurm, "pretrain", nodes=None).raw == (line.removeprefix("#SBATCH "),)


def test_a_time_is_text_and_no_number_of_base_60(tmp_path: Path) -> None:
    assert recipe_of(tmp_path, "slurm: {time: 12:30:00}").slurm.time == "12:30:00"
    assert recipe_of(tmp_path, "slurm: {}", "--slurm.time=12:30:00").slurm.time == "12:30:00"


def test_a_stage_wins_over_cpu_jobs_over_the_section(tmp_path: Path) -> None:
    text = """
slurm:
  partition: gpu
  gpus: 8
  cpus: 64
  cpu: {partition: cpu, cpus: 16}
  stages: {tokenize: {cpus: 32}, retrieve: {gpus: 4}, evaluate: {gpus: 1}}
"""
    slurm = recipe_of(tmp_path, text).slurm
    jobs = {name: asked(slurm, name, nodes=8) for name in ("prepare", "retrieve", "tokenize", "finetune", "evaluate")}
    assert {name: (job.partition, job.nodes, job.gpus, job.cpus) for name, job in jobs.items()} == {
        "prepare": ("cpu", 1, None, 16),
        "retrieve": ("gpu", 1, 4, 64),
        "tokenize": ("cpu", 1, None, 32),
        "finetune": ("gpu", 8, 8, 64),
        "evaluate": ("cpu", 1, 1, 16),
    }


def test_the_recipe_wins_over_the_site_key_by_key(tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    site.write_text(
        "account: team\nconstraint: a100\nsetup: [module load cuda]\nstages: {finetune: {time: 20:00:00, cpus: 8}}\n",
        encoding="utf-8",
    )
    text = f"slurm: {{site: {site}, account: mine, constraint: '', stages: {{finetune: {{cpus: 9}}}}}}"
    job = asked(with_site(recipe_of(tmp_path, text)), "finetune", nodes=None)
    assert (job.account, job.constraint, job.setup) == ("mine", None, ("module load cuda",))
    assert (job.time, job.cpus) == ("20:00:00", 9)


def test_the_environment_names_a_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site.yaml"
    site.write_text("qos: long\n", encoding="utf-8")
    monkeypatch.setenv(SITE, str(site))
    assert with_site(recipe_of(tmp_path, "seed: 1")).qos == "long"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("qoz: long", "unknown key slurm.qoz"),
        ("time: [1]", "slurm.time must be text"),
        ("site: other.yaml", "names no other one"),
        ("partition: a b", "slurm.partition must be a plain name"),
        ("gpus: 2000", "slurm.gpus must be at most 1024"),
    ],
)
def test_a_site_file_is_checked_like_a_recipe(tmp_path: Path, text: str, words: str) -> None:
    site = tmp_path / "site.yaml"
    site.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=words) as refused:
        with_site(recipe_of(tmp_path, f"slurm: {{site: {site}}}"))
    assert str(site) in str(refused.value)


def test_jobs_take_all_nodes_that_they_get_and_the_recipe_still_says_how_many(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, "launch: {nodes: 8}\nslurm: {stages: {generate: {nodes: 2}}}")
    told = for_jobs(recipe)
    assert told.launch.nodes is None
    for job, nodes in {"retrieve": 1, "finetune": 8, "generate": 2}.items():
        assert asked(told.slurm, job, nodes=told.launch.nodes).nodes == nodes
        assert asked(recipe.slurm, job, nodes=recipe.launch.nodes).nodes == nodes


def test_a_resolved_recipe_says_only_what_was_asked_of_slurm(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, "slurm: {gpus: 8, stages: {finetune: {time: '10:00'}}}")
    assert recipe.resolved()["slurm"] == {"gpus": 8, "stages": {"finetune": {"time": "10:00"}}}
