"""Pairs of embeddings whose cosine similarity is high, by Spark: transforms.similar_images.embeddings finds them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DoubleType, StringType, StructField, StructType

from schemas.errors import UsageError
from transforms.similar_images.embeddings import CELL, compare_cells

BLOCK_ROWS = 1 << 18
BLOCK_BYTES = 1 << 29
"""A task keeps the new embeddings of a block, and lets as many others pass by."""


def find_embedding_pairs(
    images: DataFrame,
    *,
    key: Sequence[str],
    min_similarity: float,
    block_rows: int = BLOCK_ROWS,
    block_bytes: int = BLOCK_BYTES,
) -> DataFrame:
    """One row per unordered pair of embeddings of one dataset and dimension that are similar, one of them new at least.

    `images` has `key` (texts and ints: what makes a dataset), `fingerprint` (unique in it), `embedding` (array<float>,
    finite) and `is_new`. Result: `key`, fingerprint < other_fingerprint, similarity: their cosine, at most 1, in
    float64 with an error below 1e-12. A vector of zeros has no pairs. Of the pairs exactly at min_similarity some 2 in
    10,000 are missed, of those 0.01 above 0.9 some 1 in 100,000. All that are found come, quadratic as they may be in
    number: among n pictures all alike they are n (n - 1) / 2.

    `images` is read twice, so keep it if it took long to make: first to count each dataset, so that one without a new
    embedding is left out, and a large one becomes blocks by a hash of the fingerprint. A cell compares a block of new
    ones with itself, with another block of new ones or with a block of old ones; the cells of small datasets share
    tasks. Time: 0.3 ns for a pair compared, in a cone of mean cosine 0.7 it is 1.3 ns, and in one of 0.8 as long as
    without sketches; 0.2 us for a pair found. Memory: a worker, block_bytes and 200 bytes for each of block_rows; the
    driver, 100 bytes per dataset with new ones. Shuffled: each new embedding once per block of its dataset, each old
    one once per block of new ones.
    """
    if not 0 < min_similarity <= 1:
        raise UsageError(f"min_similarity is {min_similarity}: it must be above 0 and at most 1")
    vectors = images.select(
        *key,
        "fingerprint",
        "embedding",
        F.coalesce("is_new", F.lit(False)).alias("_is_new"),
        F.size("embedding").alias("_dimension"),
    ).where(F.col("_dimension") > 0)
    rows = F.greatest(F.least(F.lit(block_rows), F.lit(block_bytes).cast("long") / (F.col("_dimension") * 4)), F.lit(1))
    blocks = (
        vectors.groupBy(*key, "_dimension")
        .agg(F.count_if("_is_new").alias("new"), F.count_if(~F.col("_is_new")).alias("old"))
        .where("new > 0")
        .select(
            *key,
            "_dimension",
            F.ceil(F.col("new") / rows).cast("int").alias("_new_blocks"),
            F.ceil(F.col("old") / rows).cast("int").alias("_old_blocks"),
        )
    )
    group = [F.col(name) for name in (*key, *CELL)]
    cells = (
        vectors.join(F.broadcast(blocks), [*key, "_dimension"], how="inner")
        .withColumn("_cell", F.explode(_cells()))
        .withColumns({"_first": F.col("_cell.first"), "_second": F.col("_cell.second")})
        # One number to sort by: the cell, and within it those that pass by after those that are kept.
        .withColumn("_order", F.shiftleft(F.xxhash64(*group), 1) + F.col("_cell.passes").cast("long"))
        .select(*group, "_order", "fingerprint", "embedding")
        .repartition(F.shiftright("_order", 1))
        .sortWithinPartitions("_order")
    )
    schema = StructType(
        [
            *(images.schema[name] for name in key),
            StructField("fingerprint", StringType(), False),
            StructField("other_fingerprint", StringType(), False),
            StructField("similarity", DoubleType(), False),
        ]
    )

    def compare(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        return compare_cells(batches, key=tuple(key), min_similarity=min_similarity)

    return cells.mapInArrow(compare, schema)


def _cells() -> Column:
    """The cells that an embedding takes part in: array of (first, second, passes).

    Cell (i, j) keeps block i of the new ones; block j of the new ones passes by if j > i, and block j of the old ones
    if there is one. If j = i, those that are kept are compared with each other too.
    """
    new, old = F.col("_new_blocks"), F.col("_old_blocks")
    block = F.pmod(F.xxhash64("fingerprint"), F.when(F.col("_is_new"), new).otherwise(old)).cast("int")
    all_new = F.sequence(F.lit(0), new - 1)
    kept_in = F.filter(F.sequence(F.lit(0), F.greatest(new, old) - 1), lambda j: (j >= block) | (j < old))
    kept = F.transform(kept_in, lambda j: _cell(block, j, False))
    passes = F.transform(F.filter(all_new, lambda i: ~F.col("_is_new") | (i < block)), lambda i: _cell(i, block, True))
    return F.when(F.col("_is_new"), F.concat(kept, passes)).otherwise(passes)


def _cell(first: Column, second: Column, passes: bool) -> Column:
    return F.struct(first.alias("first"), second.alias("second"), F.lit(passes).alias("passes"))
