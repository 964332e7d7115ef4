"""How a process that the command started is watched: the stage itself by a watchdog, a launcher by a warden."""

from pathlib import Path

from launch.watch import watchdog
from launch.watch.task import handed_task
from launch.watch.warden import start_warden

LAUNCHERS = {"torch.distributed.run", "accelerate.commands.launch"}


def attend(module: str) -> None:
    """Begin to watch this process, which is about to run `module`; nothing where the command asks for no watch."""
    task = handed_task()
    if task is None:
        return
    if module == task.module:
        watchdog.start(task)
    elif module in LAUNCHERS:
        start_warden(Path(task.folder))
