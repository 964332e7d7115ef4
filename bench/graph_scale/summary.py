"""What `bench.graph` says of growth, and of a sampled softmax."""

from pathlib import Path

from bench.graph_scale.quality import train_both
from bench.graph_scale.step import sampled_everywhere, step_times
from graph.presets import PRESETS
from launch.distributed import World


def measure_scale(steps: int) -> dict[str, float]:
    """CPU seconds of a step of `best`, one thread, on tables of random numbers, and how they grow with the items."""
    sampled = sampled_everywhere(PRESETS["best"])
    small, large = (step_times(num_items, steps=steps, settings=sampled) for num_items in (50_000, 5_000_000))
    full = step_times(50_000, steps=steps, settings=PRESETS["best"])
    return {
        "step_seconds_50k": small.seconds,
        "step_seconds_5m": large.seconds,
        "step_seconds_50k_full_softmax": full.seconds,
        "step_time_ratio_5m_50k": large.seconds / small.seconds,
        "step_time_ratio_5m_50k_by_default": large.seconds / full.seconds,
        "step_peak_mib_5m": large.peak_mib,
    }


def measure_quality(run_dir: Path, *, world: World) -> dict[str, float]:
    """HR@10 on test after training with the full softmax and with a sampled one, all else alike."""
    full, sampled = train_both(run_dir, PRESETS["best"], seed=1, world=world)
    return {
        "full_test_hr10": full.test_hr10,
        "sampled_test_hr10": sampled.test_hr10,
        "sampled_hr10_difference": abs(sampled.test_hr10 - full.test_hr10),
    }
