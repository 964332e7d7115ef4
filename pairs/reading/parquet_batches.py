"""Read a Parquet file of a stranger's in batches that fit in memory, however small it is on disk.

Two things make much of little: a page that unpacks to gibibytes, and a long text in a dictionary that thousands of rows
point to. The first is refused by what the file says of its column chunks. For the second each dictionary is looked at
before its row group is read; where it could make a batch too large, text stays pointers until the batch is cut.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from launch.errors import InputError
from pairs.reading.raw_files import damaged

MOST_UNPACKED, MOST_TIMES = 128 << 20, 200
"""A column chunk may unpack to more bytes, or to more times what it is on disk, but not to both."""
MOST_VALUES = 128_000_000
"""Values that the lists of one row group may hold."""
MOST_BYTES = 64 << 20
"""A batch, or a row, has about so many bytes at most."""
WIDEST = 64
"""Bytes of a value of fixed length; ids and hashes have 16 to 32."""
BATCH_ROWS = 1 << 16
PROBED_ROWS = 1 << 12
READ_BYTES = 1 << 20
TEXT_TYPES = (pa.string(), pa.large_string(), pa.binary(), pa.large_binary())
TEXTS = ("STRING", "NONE", "ENUM", "JSON", "BSON")
"""What Parquet calls bytes that may be in a dictionary here."""


def parquet_schema(path: Path) -> pl.Schema:
    """The columns of a Parquet file and their types."""
    try:
        schema = pq.read_schema(path)
        twice = next((name for name in schema.names if schema.names.count(name) > 1), None)
        if twice is not None:
            raise InputError(f"{path}: names the column {twice!r} twice; rename one")
        return pl.DataFrame(schema.empty_table()).schema
    except (pa.ArrowException, pl.exceptions.PolarsError, OSError) as error:
        raise damaged(path, _reason(error)) from error


def parquet_batches(
    path: Path, names: Sequence[str], *, too_long: Callable[[int], None], rows: int = BATCH_ROWS
) -> Iterator[tuple[int, pl.DataFrame]]:
    """Number of the first row (from 1) and the columns `names` of at most `rows` rows, in file order. A row beyond
    `MOST_BYTES` is left out: `too_long` gets its number."""
    try:
        metadata = pq.read_metadata(path)
        texts = _text_leaves(path, metadata, names)
        plain = pq.ParquetFile(path, metadata=metadata, buffer_size=READ_BYTES)
        pointing = pq.ParquetFile(path, metadata=metadata, buffer_size=READ_BYTES, read_dictionary=texts)
        first = 1
        for group in range(metadata.num_row_groups):
            _refuse_bomb(path, metadata.row_group(group), names)
            size = _fitting_rows(metadata.row_group(group), names, rows)
            small = _largest_batch(pointing, group, texts, size) <= MOST_BYTES
            for batch in (plain if small else pointing).iter_batches(size, row_groups=[group], columns=list(names)):
                for at, part in [(first, batch)] if small else _cut(batch, first, too_long):
                    yield at, pl.DataFrame(pa.Table.from_batches([part]))
                first += batch.num_rows
    except (pa.ArrowException, pl.exceptions.PolarsError, OSError) as error:
        raise damaged(path, _reason(error)) from error


def _text_leaves(path: Path, metadata: pq.FileMetaData, names: Sequence[str]) -> list[str]:
    """The paths inside the file of all text in the columns `names`."""
    leaves = [metadata.schema.column(place) for place in range(metadata.num_columns)]
    leaves = [leaf for leaf in leaves if _is_of(leaf.path, names)]
    for leaf in leaves:
        if leaf.physical_type == "FIXED_LEN_BYTE_ARRAY" and leaf.length > WIDEST:
            raise InputError(f"{path}: column {leaf.path} holds values of {leaf.length} bytes; write them as text")
    return [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY" and leaf.logical_type.type in TEXTS]


def _refuse_bomb(path: Path, group: pq.RowGroupMetaData, names: Sequence[str]) -> None:
    """InputError for a row group that would unpack to far more than it is."""
    for chunk in _chunks(group, names):
        unpacked, packed = chunk.total_uncompressed_size, max(chunk.total_compressed_size, 1)
        if unpacked > MOST_UNPACKED and unpacked > MOST_TIMES * packed:
            raise InputError(
                f"{path}: column {chunk.path_in_schema} unpacks to {unpacked >> 20} MiB, {unpacked // packed} times "
                "its size, in one row group; write the file anew in row groups of fewer rows, or fetch it again"
            )
        if chunk.num_values > max(MOST_VALUES, group.num_rows):
            raise InputError(
                f"{path}: the lists of column {chunk.path_in_schema} hold {chunk.num_values:,} values in one row "
                "group; write the file anew in row groups of fewer rows"
            )


def _fitting_rows(group: pq.RowGroupMetaData, names: Sequence[str], rows: int) -> int:
    """Rows of a batch whose pages, on average, hold `MOST_BYTES`."""
    unpacked: int = sum(chunk.total_uncompressed_size for chunk in _chunks(group, names))
    fitting: int = MOST_BYTES * group.num_rows // max(unpacked, 1)
    return max(1, min(rows, fitting))


def _largest_batch(pointing: pq.ParquetFile, group: int, texts: Sequence[str], rows: int) -> int:
    """Bytes of text that a batch of `rows` rows can have at most out of the dictionaries of a row group."""
    chunks = {chunk.path_in_schema: chunk for chunk in _chunks(pointing.metadata.row_group(group), texts)}
    most = 0
    for path in texts:
        values = chunks[path].num_values
        most += _longest(pointing, group, path) * (values if "." in path else min(values, rows))
    return most


def _longest(pointing: pq.ParquetFile, group: int, path: str) -> int:
    """Bytes of the longest text in the dictionary of a column chunk: it comes with the first text."""
    for batch in pointing.iter_batches(PROBED_ROWS, row_groups=[group], columns=[path]):
        leaf = batch.column(0)
        while not pa.types.is_dictionary(leaf.type) and leaf.type.num_fields:
            leaf = leaf.field(0) if pa.types.is_struct(leaf.type) else leaf.values
        if leaf.null_count < len(leaf):
            lengths = pc.binary_length(leaf.dictionary) if pa.types.is_dictionary(leaf.type) else None
            return int(pc.max(lengths).as_py() or 0) if lengths is not None else 0
    return 0


def _cut(batch: pa.RecordBatch, first: int, too_long: Callable[[int], None]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The batch with its text, halved until each part fits."""
    if sum(_num_bytes(column) for column in batch.columns) <= MOST_BYTES:
        columns = [column.cast(_without_dictionary(column.type)) for column in batch.columns]
        yield first, pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
    elif batch.num_rows == 1:
        too_long(first)
    else:
        half = batch.num_rows // 2
        yield from _cut(batch[:half], first, too_long)
        yield from _cut(batch[half:], first + half, too_long)


def _num_bytes(array: pa.Array) -> int:
    """Bytes of the array when every row has its own text."""
    if pa.types.is_dictionary(array.type):
        if array.type.value_type not in TEXT_TYPES:
            return int(array.nbytes)
        return int(pc.sum(pc.binary_length(array.dictionary).take(array.indices)).as_py() or 0)
    if pa.types.is_struct(array.type):
        return sum(_num_bytes(part) for part in array.flatten())
    return _num_bytes(array.flatten()) if _is_list(array.type) else int(array.nbytes)


def _without_dictionary(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return kind.value_type
    if _is_list(kind):
        return pa.large_list(_without_dictionary(kind.value_type))
    return kind


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _chunks(group: pq.RowGroupMetaData, names: Sequence[str]) -> list[pq.ColumnChunkMetaData]:
    chunks = [group.column(place) for place in range(group.num_columns)]
    return [chunk for chunk in chunks if _is_of(chunk.path_in_schema, names)]


def _is_of(path: str, names: Sequence[str]) -> bool:
    """Whether a leaf is one of the columns or inside one."""
    return any(path == name or path.startswith(f"{name}.") for name in names)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
