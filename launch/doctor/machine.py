"""This machine: memory, disk, ports, a compiler. Nothing heavy is imported."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from launch.doctor.diagnoses import Diagnosis, failed, passed, warned
from launch.plan.control_groups import available_memory

GIB = 2**30
LEAST_DISK = 2**30
"""Bytes without which no run of any size is worth starting."""
LEAST_INODES = 10_000
COMPILE_SECONDS = 20.0


def check_memory(need: int | None = None) -> Iterator[Diagnosis]:
    """Memory of this machine that is free, beside what the plan says a node needs (bytes)."""
    free = available_memory()
    if need is not None and free < need:
        text = f"{free / GIB:.1f} GiB free of the {need / GIB:.1f} that the plan needs on a node"
        yield failed("host memory", text, "ask for more memory (slurm mem), or lower what `kinrec plan` names")
    elif free < GIB:
        yield warned("host memory", f"{free / GIB:.1f} GiB free", "end other processes, or ask for more")
    else:
        wanted = "" if need is None else f"; the plan needs {need / GIB:.1f} on a node"
        yield passed("host memory", f"{free / GIB:.1f} GiB free{wanted}")


def check_disk(run_dir: Path, need: int | None = None) -> Iterator[Diagnosis]:
    """Space and names that are free where the run folder lies, beside what the plan says the run needs (bytes)."""
    place = next(folder for folder in (run_dir.absolute(), *run_dir.absolute().parents) if folder.exists())
    try:
        seen = os.statvfs(place)
    except OSError as error:
        yield failed("disk", f"{place}: {error.strerror}", "choose another --run_dir")
        return
    free = seen.f_bavail * seen.f_frsize
    wanted = LEAST_DISK if need is None else need
    if free < wanted:
        text = f"{free / GIB:.1f} GiB free at {place}, {wanted / GIB:.1f} needed"
        yield failed("disk", text, "free some space, choose another --run_dir, or lower what `kinrec plan` names")
    else:
        told = "" if need is None else f"; the plan needs {need / GIB:.1f}"
        yield passed("disk", f"{free / GIB:.1f} GiB free at {place}{told}")
    if seen.f_files and seen.f_favail < LEAST_INODES:
        yield failed("disk", f"{seen.f_favail} more files may be made at {place}", "remove files, or raise the quota")


def check_port(port: int, named: str) -> Diagnosis:
    """Whether `port` of this machine, which `named` says, can be bound."""
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        try:
            with socket.socket(family) as tried:
                if family == socket.AF_INET6:
                    tried.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                tried.bind((address, port))
        except OSError as error:
            if family == socket.AF_INET6 and error.errno != 98:  # a machine without IPv6
                continue
            text = f"{port} ({named}) on {socket.gethostname()}: {error.strerror}"
            return failed("port", text, f"end what listens there (ss -ltnp 'sport = :{port}'), or choose another")
    return passed("port", f"{port or 'a port'} ({named}) can be bound")


def check_compiler(ops: str, *, cuda: str | None) -> Iterator[Diagnosis]:
    """A compiler for DeepSpeed's operations `ops`: C++ with OpenMP and ninja, and nvcc of torch's CUDA beside GPUs."""
    compiler = os.environ.get("CXX", "g++")
    cure = 'load a compiler (module load gcc), or use "zero_force_ds_cpu_optimizer": false'
    why = why_not_compiling(compiler)
    if why is not None:
        yield failed("compiler", f"{ops} needs {compiler}: {why}", cure)
    elif shutil.which("ninja") is None:
        yield failed("compiler", f"{ops} needs ninja, which is not on the path", "pip install ninja")
    elif cuda is not None and (why := _why_no_nvcc(cuda)) is not None:
        yield failed("compiler", f"{ops}: {why}", f"load CUDA {cuda} (module load cuda/{cuda}), or {cure}")
    else:
        yield passed("compiler", f"{compiler} compiles for {ops}")


def why_not_compiling(compiler: str) -> str | None:
    """None if `compiler` makes a program that uses OpenMP."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "try.cpp"
        source.write_text("#include <omp.h>\n#include <vector>\nint main() { return omp_get_max_threads() < 1; }\n")
        words = [compiler, "-std=c++17", "-fopenmp", str(source), "-o", str(Path(folder) / "try")]
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=COMPILE_SECONDS, check=False)
        except FileNotFoundError:
            return "not found"
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
    if done.returncode == 0:
        return None
    said = (done.stderr or done.stdout).strip().splitlines()
    return said[0][:200] if said else f"ended with status {done.returncode}"


def _why_no_nvcc(cuda: str) -> str | None:
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    nvcc = str(Path(home) / "bin" / "nvcc") if home else shutil.which("nvcc")
    if nvcc is None or not Path(nvcc).exists():
        return f"no nvcc for torch's CUDA {cuda} (CUDA_HOME={home or 'not set'})"
    try:
        said = subprocess.run([nvcc, "--version"], capture_output=True, text=True, timeout=COMPILE_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{nvcc}: {error}"
    release = said.stdout.partition("release ")[2].partition(",")[0]
    if release.partition(".")[0] != cuda.partition(".")[0]:
        return f"{nvcc} is of CUDA {release or '?'}, torch of {cuda}"
    return None
