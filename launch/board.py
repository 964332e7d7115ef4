"""TensorBoard's event files, written at once: what went wrong is raised where it was said, and a killed process loses
nothing. The library's own writer has a thread, which prints a traceback when the disk is full and goes on in silence.
"""

import os
import socket
import time
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard.summary import text as text_summary

FORMAT = "brain.Event:2"


class Board:
    """One new event file in `folder`.

    Args:
        purge_step: from this step on, what earlier files hold counts no more.
    """

    def __init__(self, folder: Path, *, purge_step: int | None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        now = time.time()
        place = f"{socket.gethostname()}.{os.getpid()}"
        number = sum(place in path.name for path in folder.iterdir())
        # TensorBoard reads the files in the order of their names.
        self._file = (folder / f"events.out.tfevents.{int(now):010d}.{place}.{number}").open("xb")
        self._records = RecordWriter(self._file)
        self._write(Event(wall_time=now, file_version=FORMAT))
        if purge_step is not None:
            self._write(Event(wall_time=now, step=purge_step, session_log=SessionLog(status=SessionLog.START)))
        self._file.flush()

    def add_scalar(self, tag: str, value: float, step: int, *, walltime: float) -> None:
        """One number; `flush` writes it."""
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
        self._write(Event(wall_time=walltime, step=step, summary=summary))

    def add_text(self, tag: str, text: str, step: int) -> None:
        """A text in Markdown, written at once."""
        self._write(Event(wall_time=time.time(), step=step, summary=text_summary(tag, text)))
        self._file.flush()

    def flush(self) -> None:
        """Hand what was added to the system. OSError: the disk is full."""
        self._file.flush()

    def close(self) -> None:
        """Flush and close."""
        self._file.close()

    def _write(self, event: Event) -> None:
        self._records.write(event.SerializeToString())
