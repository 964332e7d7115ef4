"""Run a program that is not ours (srun) as a process of the command: SIGTERM reaches it when the command has ended.

    python -P -m launch.processes.tied PROGRAM [WORDS]

srun ends its step for that signal. A killed srun would leave the step to its tasks.
"""

import os
import signal
import sys

from launch.processes.orphans import PARENT, die_with_parent, parse_identity


def main() -> None:
    """Tie this process, then become the program."""
    die_with_parent(parse_identity(os.environ[PARENT]).pid, signal.SIGTERM)
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
