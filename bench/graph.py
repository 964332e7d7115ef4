"""The graph stage beside what one would write first: item graphs, propagation, training steps, ranking, ranks.

    python -m bench.graph [--pair RUN_DIR] [--json]

Everything is measured in this run and on the CPU, on a pair of the built-in generator or that of a run folder. What is
compared must agree, or the benchmark fails. Only the SASRec of the training rows is another, simpler model: that ratio
is what dual graph, losses and evidence cost beside a plain sequential model; it says nothing of which ranks better.
"""

import argparse
import json
import logging
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from bench.graph_parts.item_graphs import measure_edges, measure_propagation
from bench.graph_parts.rows import Row, fastest, speed, told, told_rows
from bench.graph_ranks import NUM_TRAIN, measure_ranks
from bench.graph_scale.summary import measure_quality, measure_scale
from bench.graph_training import some_rows, train_plain, train_preset
from bench.released.summary import measure_released
from graph.config import GraphConfig, PresetName
from graph.load import Prepared, load_blocks, make_ranker, prepare, with_left_out
from graph.presets import PRESETS
from graph.ranking.full_ranking import Judge
from launch.distributed import World
from pairs.config import PairConfig
from pairs.prepare import prepare as prepare_pair
from pairs.synthetic_config import SyntheticConfig
from pairs.tables import load_pair, load_samples

MEASURED: tuple[PresetName, ...] = ("best", "paper")
ALONE = World(rank=0, size=1, local_rank=0, device=torch.device("cpu"))
SYNTHETIC = SyntheticConfig(generator="sampled", num_users=10_000, items_per_domain=5000, compression="none")


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", type=Path, help="run folder with a prepared pair; else one is generated")
    parser.add_argument("--threads", type=int, default=1, help="of torch; more spin idly where the cores are busy")
    parser.add_argument("--edge_rows", type=int, default=1500, help="train samples for the item graphs")
    parser.add_argument("--steps", type=int, default=4, help="training steps an epoch, the first epoch not counted")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--ranked", type=int, default=96, help="valid samples that are ranked")
    parser.add_argument("--ranks", type=int, default=2, help="gloo ranks of one thread; 1 leaves them out")
    parser.add_argument("--scale_steps", type=int, default=10, help="steps at 50 k and 5 M items; 0 leaves them out")
    parser.add_argument("--released_steps", type=int, default=3, help="steps of preset code; 0 leaves them out")
    parser.add_argument(
        "--quality", action="store_true", help="train the pair twice, full and sampled softmax; minutes"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING)
    torch.set_num_threads(options.threads)
    # First: it asks for the most memory, 10 GiB.
    asked = told(measure_released(options.released_steps) if options.released_steps else {})
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder)
        if options.pair is None:
            prepare_pair(PairConfig(source="synthetic", synthetic=SYNTHETIC), run_dir=run_dir)
        else:  # nothing is written into a run folder that we are lent
            (run_dir / "pair").symlink_to((options.pair / "pair").resolve(), target_is_directory=True)
        name, num_items = load_pair(run_dir).name, load_pair(run_dir).items.num_items
        print(f"{name}: {num_items} items; {options.threads} thread(s) of torch, CPU")
        print(f"{'':<54}{'unit':>12}{'KinRec':>13}{'beside':>13}{'ratio':>7}  beside it")
        rows += told_rows(measure_edges(run_dir, num_rows=options.edge_rows))
        for preset in MEASURED:
            rows += told_rows(measure_preset(run_dir, preset, options))
        if options.ranks > 1:
            torch.set_num_threads(1)
            measured = measure_ranks(run_dir, ranks=options.ranks, world=ALONE)
            what = f"training, small model, {options.ranks} gloo ranks of 1 thread"
            seconds = measured["ranks"], measured["one"]
            rows += told_rows([speed(what, "sequences/s", NUM_TRAIN, *seconds, "1 rank of 1 thread")])
        if options.scale_steps:
            asked |= told(measure_scale(options.scale_steps))
        if options.quality:
            asked |= told(measure_quality(run_dir, world=ALONE))
    if options.json:
        report = asked | {"bench": "graph", "pair": name, "num_items": num_items, "threads": options.threads}
        print(json.dumps(report | {"rows": [asdict(row) | {"ratio": row.ratio} for row in rows]}))


def measure_preset(run_dir: Path, preset: PresetName, options: argparse.Namespace) -> list[Row]:
    """Propagation, training and ranking with one preset's sizes."""
    settings = PRESETS[preset]
    own_dir = run_dir / preset  # what is prepared is of one preset's widths
    own_dir.mkdir()
    (own_dir / "pair").symlink_to((run_dir / "pair").resolve(), target_is_directory=True)
    prepared, run_dir = prepare(own_dir, settings, ALONE), own_dir
    propagates = settings.model.encoder == "attention"
    if not propagates:
        prepared = with_left_out(prepared, load_blocks(run_dir, seed=1), run_dir, ALONE)
    return [
        *(measure_propagation(prepared.graphs.mixed, settings, preset) if propagates else []),
        *measure_training(run_dir, prepared, settings, preset, steps=options.steps, epochs=options.epochs),
        measure_ranking(run_dir, prepared, settings, preset, num_samples=options.ranked),
    ]


def measure_training(
    run_dir: Path, prepared: Prepared, settings: GraphConfig, preset: str, *, steps: int, epochs: int
) -> list[Row]:
    """Training steps on some samples, beside a plain SASRec of the same width and depth."""
    train = some_rows(prepared.train, steps * settings.schedule.global_batch)
    valid = some_rows(load_samples(run_dir, "valid"), 32)
    plain = train_plain(prepared, settings, train, epochs=epochs, world=ALONE)
    ours = train_preset(
        prepared, settings, train, valid, epochs=epochs, folder=run_dir / f"train-{preset}", world=ALONE
    )  # fmt: skip
    tokens = int(np.minimum(train.lengths, settings.model.max_history).sum())
    times = (ours.epoch_seconds, plain.epoch_seconds)
    return [
        speed(f"training, preset {preset}", "sequences/s", len(train), *times, "SASRec"),
        speed(f"training, preset {preset}", "tokens/s", tokens, *times, "SASRec"),
        Row(f"training, preset {preset}, peak memory", "MiB", ours.peak_mib, plain.peak_mib, "SASRec"),
        Row(f"training, preset {preset}, numbers trained", "10^6", ours.num_weights / 1e6, plain.num_weights / 1e6,
            "SASRec"),
    ]  # fmt: skip


def measure_ranking(run_dir: Path, prepared: Prepared, settings: GraphConfig, preset: str, *, num_samples: int) -> Row:
    """The best items of the target domain for valid samples; one sample at a time must find the same scores."""
    samples = some_rows(load_samples(run_dir, "valid"), num_samples)
    ranker = make_ranker(prepared, settings, seed=1, device=ALONE.device).eval()
    many, single = (
        Judge(ranker, prepared.graphs, replace(settings, encode_batch=size), ALONE)
        for size in (settings.encode_batch, 1)
    )
    ways = (lambda: many.lists(samples, settings.list_depth), lambda: single.lists(samples, settings.list_depth))
    lists, expected = ways[0](), ways[1]()
    assert np.allclose(lists.scores, expected.scores, rtol=1e-4, atol=1e-4), "one sample at a time scores otherwise"
    assert (lists.items == expected.items).mean() > 0.99, "one sample at a time ranks otherwise"  # near ties may turn
    label = f"ranking all items, preset {preset}"
    return speed(label, "samples/s", len(samples), *fastest(*ways, repeats=2), "one at a time")


if __name__ == "__main__":
    main()
