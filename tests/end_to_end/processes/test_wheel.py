"""The wheel, installed on its own, runs wherever the user stands: folders named like our packages shadow nothing."""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from site import getsitepackages

import pytest

from tests.end_to_end.runs import ROOT, TINY

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES = [pattern.removesuffix("*") for pattern in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]]
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")


def pip(*words: str) -> None:
    ended = subprocess.run([*PIP, *words], capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of these sources, built beside them."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(source))
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site-packages of an environment that holds the wheel; what it needs is found where this test finds it."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=100)
    (site,) = folder.glob("lib/python*/site-packages")
    pip("install", "--no-deps", "--no-index", "--target", str(site), str(wheel))
    (site / "needed.pth").write_text("\n".join(getsitepackages()) + "\n", encoding="utf-8")  # not the checkout itself
    return site


@pytest.fixture
def shadows(tmp_path: Path) -> Path:
    """A folder that holds packages named like ours, none of which may be imported."""
    for package in PACKAGES:
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("raise SystemExit('the wrong package')\n", encoding="utf-8")
    return tmp_path


def kinrec(installed: Path, where: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The installed command, started where `where` is."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [str(installed.parents[2] / "bin" / "python"), str(installed / "bin" / "kinrec"), *words]
    return subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True, timeout=600, check=False)


def test_the_wheel_holds_packages_and_their_data_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in names if ".dist-info/" not in name} == sources


@pytest.mark.slow
def test_stages_run_where_folders_are_named_like_ours(installed: Path, shadows: Path) -> None:
    for stage in ("prepare", "pretrain"):  # started by python, and by torchrun on two ranks
        ended = kinrec(installed, shadows, stage, str(TINY), "--graph.schedule.epochs=1")
        assert ended.returncode == 0, ended.stderr[-3000:]
        assert (shadows / "runs" / "tiny" / "manifests" / f"{stage}.json").is_file()


@pytest.mark.slow
def test_the_fine_tune_runs_there_too(installed: Path, shadows: Path, tiny_run: Path) -> None:
    copied = shutil.copytree(tiny_run, shadows / "run")
    (copied / "manifests" / "finetune.json").unlink()
    ended = kinrec(installed, shadows, "finetune", str(TINY), f"--run_dir={copied}")
    assert ended.returncode == 0, ended.stderr[-3000:]


@pytest.mark.slow
def test_other_commands_run_there_too(installed: Path, shadows: Path, tiny_run: Path) -> None:
    assert kinrec(installed, shadows, "status", str(tiny_run)).returncode == 0
    compared = kinrec(installed, shadows, "compare", str(tiny_run), str(tiny_run))
    assert compared.returncode == 0, compared.stderr[-3000:]


@pytest.mark.slow
def test_every_process_runs_the_installed_code(installed: Path, tmp_path: Path) -> None:
    prepare = installed / "pairs" / "prepare.py"
    kept = prepare.read_text(encoding="utf-8")
    prepare.write_text("raise SystemExit('this is the installed code')\n", encoding="utf-8")
    try:
        ended = kinrec(installed, tmp_path, "prepare", str(TINY))
    finally:
        prepare.write_text(kept, encoding="utf-8")
    assert ended.returncode == 1
    assert "this is the installed code" in ended.stderr
