"""The stage `pretrain` bounded by steps: all of it as its users start it, but it learns from a few samples only.

python -m bench.scaling.few_steps --config RECIPE --run_dir DIR

What a step of training costs is written down: `step_cpu_seconds` in `bench_steps.json` of the run.
"""

import time

import numpy as np

import graph.pretrain as stage
from graph.training import Trainer
from launch.artifacts import write_json
from launch.steps import Reached
from pairs.tables import Samples

STEPS, WARM = 24, 4
"""Steps that are taken, and those of them that do not count."""


class FewStepsTrainer(Trainer):
    """A trainer for `STEPS` steps of one epoch."""

    def fit(self, train: Samples, valid: Samples) -> Reached:
        """Train on random samples, and write down what a step took."""
        self.step_seconds: list[float] = []
        most = STEPS * self.settings.schedule.global_batch
        drawn = np.random.default_rng(self.seed).permutation(len(train))[:most]
        reached = super().fit(train.take(np.sort(drawn)), valid)
        counted = self.step_seconds[WARM:] or self.step_seconds
        values = {"step_cpu_seconds": float(np.median(counted)), "samples": self.settings.schedule.global_batch}
        if self.world.is_main:
            write_json(self.folder.parents[1] / "bench_steps.json", values)
        return reached

    def step(self, step: int) -> None:
        """One optimizer step, timed."""
        started = time.process_time()
        super().step(step)
        self.step_seconds.append(time.process_time() - started)


if __name__ == "__main__":
    vars(stage)["Trainer"] = FewStepsTrainer  # the stage's own, but for the samples
    stage.main()
