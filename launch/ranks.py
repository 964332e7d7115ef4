"""Which of how many ranks this process is, read from what the launcher set; light enough for the command."""

import os


def rank() -> int:
    """This process's place among the ranks; 0 without a launcher."""
    return int(os.environ.get("RANK", "0"))


def is_rank() -> bool:
    """Whether a launcher started this process."""
    return "RANK" in os.environ


def world_size() -> int:
    """How many ranks the launcher started; 1 without one."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def has_launcher() -> bool:
    """Whether a launcher has told this process its place."""
    return "RANK" in os.environ


def local_world_size() -> int:
    """How many ranks the launcher started on this machine; 1 without one."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
