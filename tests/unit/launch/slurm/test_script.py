"""The scripts as they are written, to the letter."""

import subprocess
import sys
from pathlib import Path

import pytest

from launch.config import load_recipe
from launch.errors import InputError
from launch.processes.commands import ROOT
from launch.slurm.script import check_path, compare_script, stage_script
from launch.slurm.site_file import Asked, asked, with_site
from tests.unit.launch.slurm.test_config import recipe_of

GOLDEN = Path(__file__).parents[3] / "golden"
RICH = """
slurm:
  account: team
  partition: gpu
  qos: long
  constraint: a100&ib
  gpus: 8
  cpus: 64
  memory: '0'
  time: 20:00:00
  signal_seconds: 600
  setup: [module purge, 'source "$HOME/env"']
  container: apptainer exec --nv 'my image.sif'
  raw: [--exclusive, '#SBATCH --mail-type=FAIL']
launch: {nodes: 8}
"""


def finetune(tmp_path: Path, text: str) -> Asked:
    recipe = recipe_of(tmp_path, text)
    return asked(with_site(recipe), "finetune", nodes=recipe.launch.nodes)


def neutral(text: str) -> str:
    """Without what differs between machines."""
    checkout = f"export PYTHONPATH={ROOT}${{PYTHONPATH:+:$PYTHONPATH}}\n"
    return text.replace(checkout, "").replace(sys.executable, "PYTHON").replace(str(Path.cwd()), "HERE")


def test_a_stage_with_all_that_can_be_asked_for(tmp_path: Path) -> None:
    run = Path("/runs/books movies")
    text = stage_script("finetune", finetune(tmp_path, RICH), name="books/movies", runs=[run], root=run, array=False)
    assert neutral(text) == (GOLDEN / "finetune.sbatch").read_text(encoding="utf-8")


def test_an_array(tmp_path: Path) -> None:
    root = Path("/runs/demo-sweep")
    runs = [root / "seed-1", root / "seed-2"]
    text = stage_script("finetune", finetune(tmp_path, "{}"), name="demo", runs=runs, root=root, array=True)
    assert neutral(text) == (GOLDEN / "finetune_array.sbatch").read_text(encoding="utf-8")


def test_a_table(tmp_path: Path) -> None:
    root = Path("/runs/demo-sweep")
    runs = [root / "seed-1", root / "seed-2"]
    text = compare_script(finetune(tmp_path, "{}"), name="demo", runs=runs, root=root)
    assert neutral(text) == (GOLDEN / "compare.sbatch").read_text(encoding="utf-8")


@pytest.mark.parametrize("array", [False, True])
def test_bash_reads_them(tmp_path: Path, array: bool) -> None:
    runs = [tmp_path / "it is (mine) & more"] * 2
    text = stage_script("finetune", finetune(tmp_path, RICH), name="a'b", runs=runs, root=tmp_path, array=array)
    ended = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("name", ["a%j", 'a"b', "a\nb", "a\\b", "$HOME", "a'b"])
def test_a_folder_that_sbatch_reads_otherwise_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="cannot be given to sbatch"):
        check_path(Path("/runs") / name)


def test_site_files_of_the_documentation_are_whole() -> None:
    files = sorted((ROOT / "docs" / "sites").glob("*.yaml"))
    assert len(files) == 3
    for file in files:
        recipe = load_recipe(ROOT / "launch" / "recipes" / "books_movies.yaml", [f"--slurm.site={file}"])
        wanted = asked(with_site(recipe), "finetune", nodes=recipe.launch.nodes)
        assert wanted.nodes == 8
        assert wanted.gpus == 8 or any("gpu" in line for line in wanted.raw)
