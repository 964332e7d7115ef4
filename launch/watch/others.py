"""The other ranks as one of them sees them: by their beats being renewed, never by comparing clocks."""

from pathlib import Path

from launch.watch.beats import OVER
from launch.watch.marks import Beat, read_beats


class Others:
    """The beats of all ranks as one of them sees them, and for how long each has not been renewed."""

    def __init__(self, folder: Path, rank: int) -> None:
        self.folder = folder
        self.rank = rank
        self.beats: dict[int, Beat] = {}
        self.silent: dict[int, float] = {}
        """Seconds awake, by this rank's ticks."""
        self.watched = 0.0
        """Seconds since the first look."""

    def look(self, seconds: float) -> None:
        """Read all beats, `seconds` after the last time."""
        beats = read_beats(self.folder)
        first = not self.beats
        for rank, beat in beats.items():
            same = rank in self.beats and self.beats[rank].alive == beat.alive
            self.silent[rank] = self.silent.get(rank, 0.0) + seconds if same and not first else 0.0
        self.beats = beats
        self.watched += 0.0 if first else seconds

    def lives(self, rank: int) -> bool:
        """Whether its beat is being renewed."""
        beat = self.beats.get(rank)
        return beat is not None and beat.phase not in OVER and self.silent[rank] < window(beat.every)

    def someone_moves(self) -> bool:
        """Whether another rank is at work and not late itself; one that is silent has stood still since, at most."""
        return any(
            beat.idle + self.silent[rank] <= beat.limit
            for rank, beat in self.beats.items()
            if rank != self.rank and beat.phase not in OVER
        )

    def lost(self) -> bool:
        """Whether a rank has been silent for longer than it may stand still."""
        return any(
            self.silent[rank] > max(beat.limit, window(beat.every))
            for rank, beat in self.beats.items()
            if rank != self.rank and beat.phase not in OVER
        )


def window(every: float) -> float:
    """Seconds without a new beat after which a rank is taken for stopped or lost."""
    return 2 * every + 1.5
