"""Similar images: the pairs, which follow `file_features`."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from catalog.sql import all_of, one_of
from jobs.runtime.commits import Step, replace_rows
from jobs.runtime.lake import Rows
from jobs.runtime.runs import Run
from schemas.file_features import FILE_FEATURES
from schemas.keys import DATASET_KEY, FINGERPRINT_KEY
from schemas.similar_image_pairs import SIMILAR_IMAGE_PAIRS
from transforms.similar_images import pairing
from transforms.similar_images.hamming import HASHES, OLD_AT_ONCE, find_pairs
from transforms.similar_images.hash_pairs import find_hash_pairs
from transforms.similar_images.similarity import cropped_pairs, embedded_pairs, ends_of, first_signals, whole_pairs
from transforms.tables import keyed
from transforms.tables.arrow_tables import ArrowBatches, gather_tables
from transforms.tables.changes import drop_keys, keep_keys
from transforms.tables.frames import from_frame, union_by_name
from transforms.tables.keyed import anti_join, distinct

COMPARED = (*DATASET_KEY, *HASHES, "embedding")
THUMBNAIL = (*FINGERPRINT_KEY, "crop_hashes", "thumbnail")
OTHER_KEY = (*DATASET_KEY, "other_fingerprint")


def refresh_similar_image_pairs(run: Run) -> None:
    """Compares the pictures whose features changed with all of their datasets, and keeps the pairs that are similar."""
    lake = run.lake
    until = lake.version(FILE_FEATURES)
    step = Step.pin(lake, SIMILAR_IMAGE_PAIRS, run.run_id, consumes={FILE_FEATURES.name: until}, dry_run=run.dry_run)
    consumed = step.consumed(FILE_FEATURES)
    run.ledger.read(FILE_FEATURES, until)
    if consumed == until:
        return
    feed = lake.fetch_changes(FILE_FEATURES, consumed, until, FINGERPRINT_KEY) if consumed is not None else None
    touched = None if feed is None else _fingerprints(run, feed)
    if touched is None:
        new: Rows = lake.fetch(FILE_FEATURES, until, COMPARED)
        current: Rows = lake.fetch(SIMILAR_IMAGE_PAIRS, step.base, SIMILAR_IMAGE_PAIRS.names)
    else:
        new = lake.fetch_keys(FILE_FEATURES, until, touched, on=FINGERPRINT_KEY, columns=COMPARED)
        current = _pairs_of(step, touched)
    pairs = _compare_here(run, until, new, touched) if isinstance(new, pa.Table) else None
    if pairs is None:
        pairs = _compare_by_spark(run, until, lake.frame(new), touched)
    run.ledger.wrote(SIMILAR_IMAGE_PAIRS, replace_rows(step, run.stamp(pairs), current))


def _fingerprints(run: Run, feed: Rows) -> Rows:
    """The looks (FINGERPRINT_KEY) that a change feed tells of."""
    if isinstance(feed, DataFrame):
        looks = feed.where(F.col("fingerprint").isNotNull()).select(*FINGERPRINT_KEY).distinct()
        return run.cache_keys(looks, "fingerprints.touched")
    looks = feed.filter(pc.is_valid(feed["fingerprint"])).select(FINGERPRINT_KEY)
    looks = distinct(looks, key=FINGERPRINT_KEY)
    run.ledger.count("fingerprints.touched", len(looks))
    return looks


def _pairs_of(step: Step, looks: Rows) -> Rows:
    """The pairs as pinned of which one is among `looks`."""
    if isinstance(looks, DataFrame):
        return _pairs_of_frame(step, looks)
    others = looks.rename_columns({"fingerprint": "other_fingerprint"})
    sides = [
        step.lake.fetch_keys(step.contract, step.base, keys, on=keys.column_names, columns=step.contract.names)
        for keys in (looks, others)
    ]
    if any(isinstance(side, DataFrame) for side in sides):
        return _pairs_of_frame(step, step.lake.frame(looks))
    return keyed.union_by_name(sides[0], anti_join(sides[1], looks, on=FINGERPRINT_KEY))


def _pairs_of_frame(step: Step, looks: DataFrame) -> DataFrame:
    pairs, others = step.current(), looks.withColumnRenamed("fingerprint", "other_fingerprint")
    one = pairs.transform(keep_keys, keys=looks, on=FINGERPRINT_KEY)
    other = pairs.transform(keep_keys, keys=others, on=OTHER_KEY).transform(drop_keys, keys=looks, on=FINGERPRINT_KEY)
    return union_by_name(one, other)


def _compare_here(run: Run, version: int, new: pa.Table, touched: Rows | None) -> pa.Table | None:
    """The pairs of few new pictures, found by this process; None where it would hold too many candidates."""
    new = new.filter(pc.is_valid(new["fingerprint"]))
    old: ArrowBatches = () if touched is None else _scan_others(run, version, touched)
    near = find_pairs(new, key=DATASET_KEY, old=old)
    if near is None:
        return None
    run.ledger.count("candidates", len(near))
    candidates = pairing.crop_candidates(near)
    ends = pairing.ends_of(candidates)
    thumbnails = run.lake.load_keys(FILE_FEATURES, version, ends, on=FINGERPRINT_KEY, columns=THUMBNAIL)
    found = [pairing.whole_pairs(near), pairing.cropped_pairs(candidates, thumbnails=thumbnails)]
    if new["embedding"].null_count < len(new):
        found.append(_embedded_here(run, version, new, touched))
    return pairing.first_signals(found)


def _embedded_here(run: Run, version: int, new: pa.Table, touched: pa.Table | None) -> pa.Table:
    """The pairs of new pictures by their embeddings; by Spark where those of the others are many."""
    if touched is None:
        return pairing.embedded_pairs(new)
    columns = (*FINGERPRINT_KEY, "embedding")
    known = run.lake.fetch_keys(FILE_FEATURES, version, new.select(DATASET_KEY), on=DATASET_KEY, columns=columns)
    if isinstance(known, pa.Table):
        known = anti_join(known.filter(pc.is_valid(known["fingerprint"])), touched, on=FINGERPRINT_KEY)
        return pairing.embedded_pairs(new, old=known)
    others = _others(run, version, run.lake.frame(touched))
    return from_frame(run.lake.frame(new).transform(embedded_pairs, old=others, checkpoint=run.cache))


def _scan_others(run: Run, version: int, touched: pa.Table) -> Iterator[pa.RecordBatch]:
    """The pictures that are not among `touched`, bit by bit; with them those of other datasets of the same buckets."""
    buckets = one_of("bucket", pc.unique(touched["bucket"]).to_pylist())
    condition = all_of(["fingerprint IS NOT NULL", buckets])
    for rows in gather_tables(
        run.lake.scan(FILE_FEATURES, version, (*DATASET_KEY, *HASHES), condition=condition), OLD_AT_ONCE
    ):
        yield from anti_join(rows, touched, on=FINGERPRINT_KEY).to_batches()


def _compare_by_spark(run: Run, version: int, new: DataFrame, touched: Rows | None) -> DataFrame:
    """The pairs (`similar_image_pairs` but run_id) of which one is among `touched`, None for all, by each signal."""
    lake = run.lake
    new = new.where(F.col("fingerprint").isNotNull())
    known = None if touched is None else _others(run, version, lake.frame(touched))
    near = run.cache(find_hash_pairs(new, key=DATASET_KEY, old=known))
    run.ledger.count("candidates", near.count())
    found = [near.transform(whole_pairs)]
    candidates = near.where("signal = 'crop'")
    if not candidates.isEmpty():
        features = lake.read(FILE_FEATURES, version).select(*THUMBNAIL)
        thumbnails = features.transform(keep_keys, keys=ends_of(candidates), on=FINGERPRINT_KEY)
        found.append(candidates.transform(cropped_pairs, thumbnails=thumbnails))
    if not new.where(F.col("embedding").isNotNull()).isEmpty():
        found.append(run.cache(new.transform(embedded_pairs, old=known, checkpoint=run.cache)))
    return first_signals(found)


def _others(run: Run, version: int, touched: DataFrame) -> DataFrame:
    """The pictures of the same datasets that are not among `touched`."""
    datasets = F.broadcast(touched.select(*DATASET_KEY).distinct())
    images = run.lake.read(FILE_FEATURES, version).where(F.col("fingerprint").isNotNull())
    return images.transform(keep_keys, keys=datasets, on=DATASET_KEY).transform(
        drop_keys, keys=touched, on=FINGERPRINT_KEY
    )
