"""Prepare a category pair: raw files, samples or the generator in; items, users, samples and data card out.

python -m pairs.prepare --config launch/recipes/demo.yaml
"""

import dataclasses
import shutil
from pathlib import Path

from launch.artifacts import PARTIAL
from launch.stage import entry_point, open_stage, parse_job
from pairs.config import PairConfig
from pairs.finding.find_files import find_files
from pairs.publish import publish_pair
from pairs.reading.raw_files import existing_folder
from pairs.released.read import read_released
from pairs.samples.given import read_given
from pairs.samples.one_domain import OneDomainUsers
from pairs.samples.spool import open_spools
from pairs.sifting.sift import Sifted, sift_pair
from pairs.synthetic.exact_files import synthetic_files, write_synthetic
from pairs.synthetic.shards import write_sampled


@entry_point
def main(argv: list[str] | None = None) -> None:
    """Run the stage."""
    job = parse_job(PairConfig, "prepare", argv)
    with open_stage(job):
        job.external.extend(prepare(job.config, run_dir=job.run_dir))


def prepare(config: PairConfig, *, run_dir: Path) -> list[Path]:
    """Write `run_dir/pair` and return the files outside the run that were read."""
    folder = run_dir / "pair"
    scratch = folder / f".scratch{PARTIAL}"  # what is named so is cleared when the stage starts again
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        sifted = _sift(config, folder=folder, scratch=scratch)
        publish_pair(config, sifted, folder=folder, scratch=scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    answers = config.llm_attributes.answers
    return [*sifted.files, *([Path(answers)] if answers else [])]


def _sift(config: PairConfig, *, folder: Path, scratch: Path) -> Sifted:
    match config.source:
        case "released":
            pair = read_released(existing_folder(config), one_domain=config.graph_users == "one_domain")
            spools = open_spools(scratch / "samples")
            for split, samples in pair.samples.items():
                spools[split].append(samples)
            sifted = Sifted(pair.names, pair.items, [pair.users], spools, pair.files)
            if pair.one_domain is None:
                return sifted
            teaching = OneDomainUsers(spools, folder=scratch / "samples", first_user=pair.users["user"][-1] + 1)
            teaching.add(pair.one_domain)
            return _with_others(sifted, teaching)
        case "samples":
            given = read_given(config, scratch=scratch)
            facts = {"reading": given.reading}
            sifted = Sifted(given.names, given.items, [given.users], given.spools, given.files, facts)
            return sifted if given.one_domain is None else _with_others(sifted, given.one_domain)
        case "amazon" | "tables":
            x, y = find_files(config)
            return sift_pair(x, y, config, scratch=scratch)
        case "synthetic":
            raw = folder / "raw"
            write = write_sampled if config.synthetic.generator == "sampled" else write_synthetic
            write(raw, config.synthetic)
            sifted = sift_pair(*synthetic_files(raw, config.synthetic), config, scratch=scratch)
            sifted.files.clear()  # they are part of the run
            return sifted


def _with_others(sifted: Sifted, others: OneDomainUsers) -> Sifted:
    """With users of one domain."""
    return dataclasses.replace(sifted, graph_only=others.spool, facts={**sifted.facts, **others.facts()})


if __name__ == "__main__":
    main()
