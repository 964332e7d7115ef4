"""Write 8 MB with every library into a folder where they do not fit; print the line that a user would read of each.

A process of its own, for it limits the size of its files. The last line is a JSON object by library.
"""

import gzip
import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import save_file

from launch.errors import one_line

NUMBERS = np.random.default_rng(0).random(1 << 20)


def write_npy(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, NUMBERS)


def write_json(path: Path) -> None:
    path.write_text(json.dumps(NUMBERS[: 1 << 17].tolist()), encoding="utf-8")


def write_gzip(path: Path) -> None:
    with gzip.open(path, "wb") as file:
        file.write(NUMBERS.tobytes())


def write_arrow(path: Path) -> None:
    table = pa.table({"a": NUMBERS})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)


WRITERS: dict[str, Callable[[Path], object]] = {
    "npy": write_npy,
    "json": write_json,
    "gzip": write_gzip,
    "arrow": write_arrow,
    "parquet": lambda path: pq.write_table(pa.table({"a": NUMBERS}), path),
    "polars": lambda path: pl.DataFrame({"a": NUMBERS}).write_parquet(path),
    "polars_sink": lambda path: pl.LazyFrame({"a": NUMBERS}).sink_parquet(path),
    "polars_csv": lambda path: pl.DataFrame({"a": NUMBERS}).write_csv(path),
    "torch": lambda path: torch.save(torch.from_numpy(NUMBERS), path),
    "safetensors": lambda path: save_file({"a": torch.from_numpy(NUMBERS)}, path),
}


def main() -> None:
    folder, limit = Path(sys.argv[1]), sys.argv[2]
    if limit == "limited":
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
    said = {}
    for name, write in WRITERS.items():
        try:
            write(folder / name)
        except Exception as error:
            said[name] = one_line(error) or f"a traceback: {error!r}"
        else:
            said[name] = "written whole"
        (folder / name).unlink(missing_ok=True)
    print(json.dumps(said))


if __name__ == "__main__":
    main()
