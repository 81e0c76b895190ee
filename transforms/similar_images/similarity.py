"""Similar pictures: which pairs there are, and what the groups made of them look like.

The grouping itself is transforms.graphs.stars; the ids of groups through time, transforms.clusters.naming.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from schemas.keys import DATASET_KEY, FINGERPRINT_KEY, PAIR_KEY
from schemas.similar_image_pairs import SIGNALS
from transforms.clusters.naming import PARTED
from transforms.similar_images.alignment import verify_crops
from transforms.similar_images.embedding_pairs import find_embedding_pairs
from transforms.similar_images.pairing import MIN_SIMILARITY, PAIR_COLUMNS
from transforms.tables.frames import union_by_name

Checkpoint = Callable[[DataFrame], DataFrame]


def whole_pairs(near: DataFrame) -> DataFrame:
    """The pairs (PAIR_COLUMNS) among those that hashes found (find_hash_pairs), without candidates."""
    whole = near.where("signal != 'crop'").withColumn("similarity", 1 - F.col("distance") / 256)
    return whole.select(*PAIR_COLUMNS)


def cropped_pairs(candidates: DataFrame, *, thumbnails: DataFrame) -> DataFrame:
    """The pairs (PAIR_COLUMNS) among candidates whose thumbnails agree, one laid over the other.

    `thumbnails` has the columns FINGERPRINT_KEY, `crop_hashes` and `thumbnail` of the files of both. Of several files
    of one fingerprint that with the least crop hashes and thumbnail stands for all.
    """
    least = F.min(F.struct("crop_hashes", "thumbnail")).alias("least")
    one = thumbnails.where(F.col("thumbnail").isNotNull()).groupBy(*FINGERPRINT_KEY).agg(least)
    one = one.select(*FINGERPRINT_KEY, F.col("least.thumbnail").alias("thumbnail"))
    other = one.withColumnsRenamed({"fingerprint": "other_fingerprint", "thumbnail": "other_thumbnail"})
    both = candidates.join(one, list(FINGERPRINT_KEY), how="inner")
    both = both.join(other, [*DATASET_KEY, "other_fingerprint"], how="inner")
    return both.transform(verify_crops).select(*PAIR_COLUMNS)


def embedded_pairs(new: DataFrame, *, old: DataFrame | None, checkpoint: Checkpoint) -> DataFrame:
    """The pairs (PAIR_COLUMNS) whose embeddings are similar, at least one of each `new`. Both have an `embedding`."""
    sides = [side.withColumn("is_new", F.lit(side is new)) for side in (new, old) if side is not None]
    chosen = (
        side.select(*FINGERPRINT_KEY, "embedding", "is_new").where(F.col("embedding").isNotNull()) for side in sides
    )
    vectors = checkpoint(union_by_name(*chosen).dropDuplicates(list(FINGERPRINT_KEY)))
    alike = find_embedding_pairs(vectors, key=DATASET_KEY, min_similarity=MIN_SIMILARITY)
    own = {"signal": F.lit("embedding"), "distance": F.lit(None).cast("int")}
    return alike.withColumns(own).select(*PAIR_COLUMNS)


def first_signals(found: Sequence[DataFrame]) -> DataFrame:
    """One row per pair of all that were found, by its first signal (SIGNALS): `similar_image_pairs` but run_id."""
    pairs = union_by_name(*found)
    order = F.array_position(F.lit(list(SIGNALS)), F.col("signal"))
    first = F.min(F.struct(order.alias("order"), "distance", "similarity", "signal")).alias("first")
    return pairs.groupBy(*PAIR_KEY).agg(first).select(*PAIR_KEY, "first.signal", "first.distance", "first.similarity")


def ends_of(pairs: DataFrame) -> DataFrame:
    """The fingerprints (FINGERPRINT_KEY) of pairs, each once."""
    either = F.explode(F.array("fingerprint", "other_fingerprint")).alias("fingerprint")
    return pairs.select(*DATASET_KEY, either).distinct()


def within_thresholds(*, max_distance: int, min_similarity: float, crops: bool) -> Column:
    """Whether a pair counts for clustering."""
    by_hash = F.col("signal").isin("hash", "turned") & (F.col("distance") <= max_distance)
    by_embedding = (F.col("signal") == "embedding") & (F.col("similarity") >= min_similarity)
    return by_hash | by_embedding | ((F.col("signal") == "crop") & F.lit(crops))


def linked_looks(pairs: DataFrame, *, images: DataFrame) -> DataFrame:
    """The looks (hash_look) that another picture is similar to, or has too: of the others no group can come.

    `images` has a row per file. By chance the look of another picture may have the same hash, and come along.
    """
    shared = images.groupBy(hash_look().alias("look")).count().where("count >= 2").select("look")
    ends = pairs.transform(ends_of).select(hash_look().alias("look"))
    return union_by_name(ends, shared).distinct()


def hash_look() -> Column:
    """A number for the fingerprint of a dataset."""
    return F.xxhash64(*FINGERPRINT_KEY)


def link_images(pairs: DataFrame, *, images: DataFrame) -> DataFrame:
    """The pairs of which both are there: PAIR_KEY and `similarity`."""
    there = images.select(*FINGERPRINT_KEY).distinct()
    others = there.withColumnRenamed("fingerprint", "other_fingerprint")
    links = pairs.select(*PAIR_KEY, "similarity").join(there, list(FINGERPRINT_KEY), how="left_semi")
    return links.join(others, [*DATASET_KEY, "other_fingerprint"], how="left_semi")


def part_images(images: DataFrame, *, parted: DataFrame, pairs: DataFrame) -> DataFrame:
    """Adds `node` to files: what stands for the file in the graph, and `apart`: the fingerprints it is kept apart from.

    A node is the fingerprint, shared by all files that look the same, save for a file that a person parted from others,
    which stands for itself. It is kept apart from these, and from what they are similar to: so no representative is
    similar to both. `parted` has a dataset, `uri` and `apart` (what it was parted from) a row.
    """
    turned = {"other_fingerprint": F.col("fingerprint"), "fingerprint": F.col("other_fingerprint")}
    both = union_by_name(pairs.select(*PAIR_KEY), pairs.select(*PAIR_KEY).withColumns(turned))
    from_these = parted.select(*DATASET_KEY, "uri", F.explode("apart").alias("fingerprint"))
    from_similar = from_these.join(both, list(FINGERPRINT_KEY), how="inner")
    from_similar = from_similar.select(*DATASET_KEY, "uri", F.col("other_fingerprint").alias("fingerprint"))
    every = union_by_name(from_these, from_similar)
    apart = every.groupBy(*DATASET_KEY, "uri").agg(F.array_sort(F.collect_set("fingerprint")).alias("apart"))
    own = F.concat("fingerprint", F.lit(PARTED), "uri")
    return images.join(F.broadcast(apart), [*DATASET_KEY, "uri"], how="left").withColumn(
        "node", F.when(F.col("apart").isNotNull(), own).otherwise(F.col("fingerprint"))
    )


def link_nodes(pairs: DataFrame, *, images: DataFrame) -> DataFrame:
    """Pairs of fingerprints as pairs of the nodes that there are (part_images), without those kept apart.

    Columns: DATASET_KEY, `fingerprint` and `other_fingerprint` (nodes, the lesser first), `similarity`.
    """
    nodes = images.select(*DATASET_KEY, "node", "fingerprint", "apart").dropDuplicates([*DATASET_KEY, "node"])
    same = nodes.where(F.col("apart").isNotNull()).select(*FINGERPRINT_KEY).distinct()
    same = same.withColumns({"other_fingerprint": F.col("fingerprint"), "similarity": F.lit(1.0)})
    links = union_by_name(pairs.select(*PAIR_KEY, "similarity"), same)
    one = nodes.withColumnsRenamed({"node": "_node", "apart": "_apart"})
    other = nodes.withColumnsRenamed({"node": "_other", "apart": "_other_apart", "fingerprint": "other_fingerprint"})
    linked = links.join(one, list(FINGERPRINT_KEY), how="inner").join(
        other, [*DATASET_KEY, "other_fingerprint"], how="inner"
    )
    keeps_apart = F.coalesce(F.array_contains("_apart", F.col("other_fingerprint")), F.lit(False))
    other_keeps_apart = F.coalesce(F.array_contains("_other_apart", F.col("fingerprint")), F.lit(False))
    linked = linked.where(~keeps_apart & ~other_keeps_apart & (F.col("_node") != F.col("_other")))
    return linked.select(
        *DATASET_KEY,
        F.least("_node", "_other").alias("fingerprint"),
        F.greatest("_node", "_other").alias("other_fingerprint"),
        "similarity",
    ).dropDuplicates(list(PAIR_KEY))


def gather_members(images: DataFrame, *, stars: DataFrame) -> DataFrame:
    """The files of groups of two or more: `images` (with `node`) with `representative` (a node) and `similarity` to it.

    `stars` has a row per node with a similar one (transforms.graphs.stars). Files of one node that nothing else is
    similar to are a group by themselves.
    """
    stars = stars.select(*DATASET_KEY, F.col("fingerprint").alias("node"), "representative", "similarity")
    placed = images.join(stars, [*DATASET_KEY, "node"], how="left").withColumns(
        {"representative": F.coalesce("representative", "node"), "similarity": F.coalesce("similarity", F.lit(1.0))}
    )
    group = (*DATASET_KEY, "representative")
    groups = placed.groupBy(*group).agg(F.count("*").alias("_files")).where("_files >= 2").drop("_files")
    return placed.join(groups, list(group), how="left_semi")
