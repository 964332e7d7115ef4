"""Python and the installed packages, against the ranges that pyproject.toml gives and combinations known to fail.

Reads what the installers wrote (dist-info), imports nothing of it.
"""

import platform
import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distributions, metadata, requires, version

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from launch.doctor.diagnoses import Diagnosis, failed, passed, warned
from launch.processes.commands import ROOT, count_gpus

FAISS = re.compile(r"faiss-(cpu|gpu)(-.*)?")
EXTRAS = ("cpu", "gpu")
"""Of the extras only these are for running; a user installs one."""


def check_packages() -> Iterator[Diagnosis]:
    """Python, every dependency, the builds of faiss and torch beside the GPUs of this machine."""
    python, requirements = read_requirements()
    yield _python(python)
    yield from _versions(requirements)
    yield from _faiss(requirements, gpus=count_gpus())
    yield from _torch_build(gpus=count_gpus())


def read_requirements() -> tuple[str, list[tuple[Requirement, str | None]]]:
    """The range of Pythons, and each requirement with the extra that asks for it: of the checkout, or of the wheel."""
    project = ROOT / "pyproject.toml"
    if project.is_file():
        told = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
        always = [(Requirement(line), None) for line in told["dependencies"]]
        extra = [(Requirement(line), name) for name in EXTRAS for line in told["optional-dependencies"][name]]
        return told["requires-python"], [*always, *extra]
    given: list[tuple[Requirement, str | None]] = []
    for line in requires("kinrec") or []:
        requirement = Requirement(line)
        asked = next((name for name in EXTRAS if _is_for(requirement, name)), None)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}) or asked is not None:
            given.append((requirement, asked))
    return metadata("kinrec")["Requires-Python"] or "", given


def _is_for(requirement: Requirement, extra: str) -> bool:
    marker = requirement.marker
    return marker is not None and marker.evaluate({"extra": extra}) and not marker.evaluate({"extra": ""})


def _python(wanted: str) -> Diagnosis:
    here = platform.python_version()
    if SpecifierSet(wanted).contains(here, prereleases=True):
        return passed("python", f"{here} ({wanted})")
    return failed("python", f"{here} is not {wanted}", "make a new environment with a Python of that range")


def _versions(requirements: list[tuple[Requirement, str | None]]) -> Iterator[Diagnosis]:
    problems, count = [], 0
    for requirement, extra in requirements:
        try:
            there = Version(version(requirement.name))
        except PackageNotFoundError:
            if extra is None:
                problems.append(failed("packages", f"{requirement.name} is not installed", _install(requirement)))
            continue
        except InvalidVersion as error:
            problems.append(failed("packages", f"{requirement.name}: {error}", _install(requirement)))
            continue
        count += 1
        if not requirement.specifier.contains(there, prereleases=True):
            text = f"{requirement.name} {there} is not {requirement.specifier}"
            problems.append(failed("packages", text, _install(requirement)))
    yield from problems
    if not problems:
        yield passed("packages", f"{count} packages are of the versions that pyproject.toml asks for")


def _install(requirement: Requirement) -> str:
    return f"pip install '{requirement.name}{requirement.specifier}'"


def _faiss(requirements: list[tuple[Requirement, str | None]], *, gpus: int) -> Iterator[Diagnosis]:
    builds: dict[str, str] = {}
    for distribution in distributions():
        name = re.sub(r"[-_.]+", "-", str(distribution.metadata["Name"])).lower()
        if FAISS.fullmatch(name):
            builds[name] = distribution.version
    pinned = {extra: _install(wanted) for wanted, extra in requirements if extra is not None}
    fitting = pinned.get("gpu" if gpus else "cpu", "pip install one of them")
    if not builds:
        yield failed("faiss", "no build is installed, and retrieval searches with it", fitting)
    elif len(builds) > 1:
        names = " and ".join(sorted(builds))
        yield failed(
            "faiss", f"{names} are both installed; both write one module, and either may win",
            f"pip uninstall -y {' '.join(sorted(builds))}; then {fitting}",
        )  # fmt: skip
    else:
        name, there = next(iter(builds.items()))
        if gpus and name == "faiss-cpu":
            text = f"faiss-cpu {there} beside {gpus} GPU(s): retrieval would search on the CPUs"
            yield failed("faiss", text, f"pip uninstall -y faiss-cpu; then {fitting}")
        elif not gpus and name != "faiss-cpu":
            yield warned(
                "faiss", f"{name} {there} on a machine without GPUs", f"search runs on the CPUs here; or {fitting}"
            )
        else:
            yield passed("faiss", f"{name} {there}")


def _torch_build(*, gpus: int) -> Iterator[Diagnosis]:
    """What the version alone tells; the process that imports torch tells the rest."""
    try:
        there = version("torch")
    except PackageNotFoundError:
        return  # said already
    if gpus and there.endswith("+cpu"):
        yield failed(
            "torch", f"{there} is a CPU build beside {gpus} GPU(s): everything would run on the CPUs",
            "pip install --force-reinstall torch of the same version from an index with CUDA builds",
        )  # fmt: skip
