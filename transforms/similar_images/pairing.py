"""Pairs of similar pictures, signal by signal, within one process: tables of many datasets in, tables out.

`near` is what transforms.similar_images.hamming.find_pairs found.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from schemas.keys import DATASET_KEY, FINGERPRINT_KEY, PAIR_KEY
from schemas.similar_image_pairs import SIGNALS
from transforms.similar_images.alignment import verify_candidates
from transforms.similar_images.embeddings import find_pairs
from transforms.similar_images.hamming import HASH_BITS
from transforms.tables.grouped import first_of_each, integers, is_equal, ranks, select_as
from transforms.tables.keyed import distinct, inner_join, key_codes, union_by_name, with_columns

MIN_SIMILARITY = 0.9
"""Cosine similarity of embeddings from which a pair is kept."""
PAIR_COLUMNS = (*PAIR_KEY, "signal", "distance", "similarity")


def whole_pairs(near: pa.Table) -> pa.Table:
    """The pairs (PAIR_COLUMNS) among those that hashes found, without candidates."""
    whole = near.filter(pc.not_equal(near["signal"], "crop"))
    similarity = pc.subtract(1.0, pc.divide(whole["distance"].cast(pa.float64()), float(HASH_BITS)))
    return with_columns(whole, {"similarity": similarity}).select(PAIR_COLUMNS)


def cropped_pairs(candidates: pa.Table, *, thumbnails: pa.Table) -> pa.Table:
    """The pairs (PAIR_COLUMNS) among candidates whose thumbnails agree, one laid over the other.

    `thumbnails` has the columns FINGERPRINT_KEY, `crop_hashes` and `thumbnail` of the files of both. Of several files
    of one fingerprint that with the least crop hashes and thumbnail stands for all.
    """
    seen = thumbnails.filter(pc.is_valid(thumbnails["thumbnail"]))
    (codes,) = key_codes(seen, key=FINGERPRINT_KEY)
    one = seen.take(pa.array(first_of_each(codes, ranks(seen["crop_hashes"]), ranks(seen["thumbnail"]))))
    other = select_as(one, DATASET_KEY, other_fingerprint="fingerprint", other_thumbnail="thumbnail")
    both = inner_join(candidates, one, on=FINGERPRINT_KEY, columns=["thumbnail"])
    both = inner_join(both, other, on=(*DATASET_KEY, "other_fingerprint"), columns=["other_thumbnail"])
    return verify_candidates(both).select(PAIR_COLUMNS)


def embedded_pairs(new: pa.Table, *, old: pa.Table | None = None) -> pa.Table:
    """The pairs (PAIR_COLUMNS) whose embeddings are similar, at least one of each `new`.

    Both have FINGERPRINT_KEY and `embedding`, and no fingerprint of a dataset in common; of several files of one
    fingerprint, which tells the embedding, one stands for all.
    """
    sides = [(new, True), *([] if old is None else [(old, False)])]
    vectors = pa.concat_tables(
        [
            with_columns(side.select([*FINGERPRINT_KEY, "embedding"]), {"is_new": pa.scalar(is_new)}).filter(
                pc.is_valid(side["embedding"])
            )
            for side, is_new in sides
        ]
    )
    alike = find_pairs(distinct(vectors, key=FINGERPRINT_KEY), key=DATASET_KEY, min_similarity=MIN_SIMILARITY)
    own = {"signal": pa.scalar("embedding"), "distance": pa.scalar(None, pa.int32())}
    return with_columns(alike, own).select(PAIR_COLUMNS)


def crop_candidates(near: pa.Table) -> pa.Table:
    """The pairs of `near` whose thumbnails decide."""
    return near.filter(pa.array(is_equal(near["signal"], "crop")))


def ends_of(pairs: pa.Table) -> pa.Table:
    """The fingerprints (FINGERPRINT_KEY) of pairs, each once."""
    ends = (pairs.select(FINGERPRINT_KEY), select_as(pairs, DATASET_KEY, fingerprint="other_fingerprint"))
    return distinct(union_by_name(*ends), key=FINGERPRINT_KEY)


def first_signals(found: Sequence[pa.Table]) -> pa.Table:
    """One row per pair of all that were found, by its first signal (SIGNALS): `similar_image_pairs` but run_id."""
    pairs = pa.concat_tables([rows.select(PAIR_COLUMNS).cast(found[0].select(PAIR_COLUMNS).schema) for rows in found])
    (codes,) = key_codes(pairs, key=PAIR_KEY)
    order = pc.index_in(pairs["signal"], pa.array(SIGNALS)).to_numpy()
    similarity = pairs["similarity"].to_numpy()
    return pairs.take(pa.array(first_of_each(codes, order, integers(pairs["distance"], null=-1), similarity)))
