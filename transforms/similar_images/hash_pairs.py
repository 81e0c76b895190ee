"""Pairs of pictures whose perceptual hashes are near, by Spark: transforms.similar_images.hamming finds them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from transforms.similar_images.hamming import HASH_DISTANCE as HASH_DISTANCE
from transforms.similar_images.hamming import HASHES as HASHES
from transforms.similar_images.hamming import IS_HASH, by_dataset, compare_table, find_candidates
from transforms.similar_images.hamming import OLD_AT_ONCE as OLD_AT_ONCE
from transforms.tables.arrow_tables import ArrowBatches, gather_tables
from transforms.tables.frames import to_frame

ONE_TASK = 100_000
"""New pictures of one dataset up to which one task compares them with all; above, tasks share the slots."""
PARTS = 4
"""Tasks that share the slots of a large dataset. Each holds all of its hashes: 300 bytes a picture, names included."""

FEW = 100_000
"""New pictures, of all datasets, up to which they are sent to where the old ones are read; more are shuffled."""
_CANDIDATE = "fingerprint string, other_fingerprint string, signal string, distance int, crop int, other_crop int"


def find_hash_pairs(new: DataFrame, *, key: Sequence[str], old: DataFrame | None = None) -> DataFrame:
    """Pairs of fingerprints of one dataset by their hashes, at least one of each `new`: one row per pair and signal.

    `new` and `old` have the columns `key` of the dataset, `fingerprint`, `crop_hashes` and `turned_hashes` (both may be
    null), and no fingerprint of a dataset in common. Of several pictures of one fingerprint that with the least crop
    hashes stands for all. Rows of the result: `key`, `fingerprint`, `other_fingerprint` (the greater), `signal` (hash,
    turned, or crop: a candidate), `distance` in bits, and for crop the numbers of the nearest two crops in CROP_SCALES.
    """
    hashed = _with_hashes(new, key=key, is_new=True)
    if old is None:
        return _nearest(_compare_datasets(hashed, key=key), key=key)
    return _nearest(_compare_new(hashed, _with_hashes(old, key=key, is_new=False), key=key), key=key)


def _nearest(found: DataFrame, *, key: Sequence[str]) -> DataFrame:
    nearest = F.min(F.struct("distance", "crop", "other_crop")).alias("nearest")
    pair = (*key, "fingerprint", "other_fingerprint", "signal")
    return found.groupBy(*pair).agg(nearest).select(*pair, "nearest.*")


def _with_hashes(images: DataFrame, *, key: Sequence[str], is_new: bool) -> DataFrame:
    hashed = images.where(F.col("fingerprint").rlike(IS_HASH))
    return hashed.select(*key, *HASHES, F.lit(is_new).alias("is_new"))


def _compare_new(new: DataFrame, old: DataFrame, *, key: Sequence[str]) -> DataFrame:
    """The candidates with a new picture: few new ones are sent to where the old ones are read."""
    few = new.limit(FEW + 1).toArrow()
    if len(few) > FEW:
        return _compare_datasets(new.unionByName(old), key=key)
    among_new = _compare_datasets(to_frame(new.sparkSession, few, new.schema), key=key)
    new_of = by_dataset(few, key)

    def compare(batches: ArrowBatches) -> Iterator[pa.RecordBatch]:
        for table in gather_tables(batches, OLD_AT_ONCE):
            for found in compare_table(table, new_of, key):
                yield from found.to_batches()

    return among_new.unionByName(old.mapInArrow(compare, schema=among_new.schema))


def _compare_datasets(hashed: DataFrame, *, key: Sequence[str]) -> DataFrame:
    """The candidates of whole datasets, in tasks of their own."""
    sizes = hashed.where("is_new").groupBy(*key).count().where(F.col("count") > ONE_TASK)
    sizes = sizes.select(*key, F.lit(PARTS).alias("parts"))
    parts = F.explode(F.sequence(F.lit(0), F.coalesce("parts", F.lit(1)) - 1))
    shared = hashed.join(F.broadcast(sizes), list(key), how="left").withColumn("part", parts)
    schema = f"{_key_schema(hashed, key)}, {_CANDIDATE}"
    return shared.groupBy(*key, "part").applyInArrow(_compare_group(len(key)), schema=schema)


def _compare_group(keys: int) -> Callable[[tuple[pa.Scalar, ...], pa.Table], pa.Table]:
    def compare(key: tuple[pa.Scalar, ...], table: pa.Table) -> pa.Table:
        parts = table["parts"][0].as_py() or 1
        return find_candidates(key[:keys], table, parts=parts, part=key[-1].as_py())

    return compare


def _key_schema(images: DataFrame, key: Sequence[str]) -> str:
    return ", ".join(f"{name} {images.schema[name].dataType.simpleString()}" for name in key)
