"""What a check has seen: pass, warn or fail, in one line, with the cure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from launch.terminal import shown

Level = Literal["pass", "warn", "fail"]


@dataclass(frozen=True)
class Diagnosis:
    """One line of the doctor's."""

    level: Level
    check: str
    """What was looked at, in a word or two."""
    text: str
    cure: str = ""
    """What to do about it; every warn and fail has one."""

    @property
    def line(self) -> str:
        """The line that is shown."""
        cure = f"; {self.cure}" if self.cure else ""
        return shown(f"{self.level}  {self.check:<14} {' '.join(f'{self.text}{cure}'.split())}")


def passed(check: str, text: str) -> Diagnosis:
    """All is well."""
    return Diagnosis("pass", check, text)


def warned(check: str, text: str, cure: str) -> Diagnosis:
    """A run is possible, but not as it could be."""
    return Diagnosis("warn", check, text, cure)


def failed(check: str, text: str, cure: str) -> Diagnosis:
    """A run would fail."""
    return Diagnosis("fail", check, text, cure)


def worst(diagnoses: Iterable[Diagnosis]) -> Level:
    """The gravest level among them."""
    levels = {diagnosis.level for diagnosis in diagnoses}
    return "fail" if "fail" in levels else "warn" if "warn" in levels else "pass"
