"""What of a stage's output reaches the terminal, and the error line that the command takes from it."""

import pytest

from launch.processes.relay import Screen

OUTPUT = (
    b"12:00:00 graph: epoch 1\n"
    b"steps:  50%\rsteps: 100%\r"
    b"kinrec: error: pair.path: no such folder; give another\n"
    b"kinrec: error: what another rank says\n"
    b"torch.distributed: a rank failed, and much more\n"
)


def show(output: bytes, *, size: int) -> Screen:
    screen = Screen()
    for start in range(0, len(output), size):
        screen.show(output[start : start + size])
    return screen


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_screen_stops_at_an_error_line_and_keeps_it(capfdbinary: pytest.CaptureFixture[bytes], size: int) -> None:
    screen = show(OUTPUT, size=size)
    assert screen.error == "pair.path: no such folder; give another"
    assert capfdbinary.readouterr().err == b"12:00:00 graph: epoch 1\nsteps:  50%\rsteps: 100%\r"


def test_without_an_error_line_all_whole_lines_are_shown(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    screen = show(b"one\ntwo\nthr", size=4)
    assert screen.error is None
    assert capfdbinary.readouterr().err == b"one\ntwo\n"


def test_an_error_line_that_is_not_whole_is_none() -> None:
    assert show(b"kinrec: error: half of a li", size=5).error is None
