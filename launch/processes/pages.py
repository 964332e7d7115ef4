"""The C library's memory of a stage's ranks on CPUs.

A page of 4 KiB that is handed back and asked for again costs the kernel a fault; in a virtual machine, where a fault is
dear, those of a language model's activations took two fifths of its training's time. glibc (2.35 and later) asks for
pages of 2 MiB where it is told to before the process starts; the system must grant them on request
(/sys/kernel/mm/transparent_hugepage/enabled: madvise or always).
"""

import os

from launch.stages import Stage

TUNABLES = "GLIBC_TUNABLES"
HUGE_PAGES = "glibc.malloc.hugetlb=1"
OWN = ("MALLOC_MMAP_THRESHOLD_", TUNABLES, "LD_PRELOAD")
"""Where a user says how memory is managed."""


def is_managed() -> bool:
    """Whether a user, not we, has said how this process's memory is managed."""
    return any(os.environ.get(name, "") not in {"", HUGE_PAGES} for name in OWN)


def page_environment(stage: Stage, *, gpus: int) -> dict[str, str]:
    """Variables for the ranks of `stage`; none on GPUs, or where a user manages memory."""
    return {TUNABLES: HUGE_PAGES} if stage.huge_pages and not gpus and not is_managed() else {}
