"""What installers wrote: wrong versions, absent packages, two builds of faiss, CPU builds beside GPUs."""

from pathlib import Path

import pytest

from launch.doctor.diagnoses import Diagnosis
from launch.doctor.packages import check_packages


def plant(folder: Path, name: str, version: str) -> None:
    """The metadata of an installed package, as pip leaves it."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is looked at before the installed packages; no GPU."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    return tmp_path


def lines(level: str) -> list[str]:
    return [f"{diagnosis.text}; {diagnosis.cure}" for diagnosis in check_packages() if diagnosis.level == level]


def test_this_environment_passes(planted: Path) -> None:
    checks: list[Diagnosis] = list(check_packages())
    assert [diagnosis.check for diagnosis in checks if diagnosis.level == "pass"] == ["python", "packages", "faiss"]
    assert len(checks) == 3


def test_a_version_outside_its_range_fails_and_names_the_range(planted: Path) -> None:
    plant(planted, "transformers", "4.40.0")
    assert lines("fail") == [
        "transformers 4.40.0 is not <6,>=5.23; pip install 'transformers<6,>=5.23'",
    ]


def test_a_package_that_is_not_there_fails(planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = planted / "pyproject.toml"
    project.write_text(
        '[project]\nrequires-python = ">=3.99"\ndependencies = ["no-such-thing>=1"]\n'
        '[project.optional-dependencies]\ncpu = ["faiss-cpu==1.15.1"]\ngpu = ["faiss-gpu==1.15.1"]\n',
        encoding="utf-8",
    )
    monkeypatch.setattr("launch.doctor.packages.ROOT", planted)
    python, package = lines("fail")
    assert "is not >=3.99" in python
    assert package == "no-such-thing is not installed; pip install 'no-such-thing>=1'"


def test_two_builds_of_faiss_fail(planted: Path) -> None:
    plant(planted, "faiss-gpu", "1.15.1")
    (line,) = lines("fail")
    assert line.startswith("faiss-cpu and faiss-gpu are both installed")
    assert "pip uninstall -y faiss-cpu faiss-gpu; then pip install 'faiss-cpu==1.15.1'" in line


def test_cpu_builds_beside_gpus_fail(planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    plant(planted, "torch", "2.13.0+cpu")
    faiss, torch = lines("fail")
    assert "faiss-cpu 1.15.1 beside 2 GPU(s)" in faiss
    assert "pip install 'faiss-gpu==1.15.1'" in faiss
    assert "2.13.0+cpu is a CPU build beside 2 GPU(s)" in torch


def test_a_wheel_without_its_pyproject_reads_its_own_metadata(planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("launch.doctor.packages.ROOT", planted)
    plant(planted, "torch", "1.0")
    info = next(planted.glob("kinrec*"), planted / "kinrec-0.1.0.dist-info")
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: kinrec\nVersion: 0.1.0\nRequires-Python: >=3.11\n"
        "Requires-Dist: torch<2.14,>=2.13\n"
        'Requires-Dist: faiss-cpu==1.15.1; extra == "cpu"\nRequires-Dist: pytest>=99; extra == "test"\n',
        encoding="utf-8",
    )
    assert lines("fail") == ["torch 1.0 is not <2.14,>=2.13; pip install 'torch<2.14,>=2.13'"]
