"""Pairs of pictures whose perceptual hashes are near, none missed: Hamming distance over 256-bit hashes.

By the pigeonhole principle: cut the hash into slots and allow each some errors, so that the allowances plus one add up
to more than the distance sought; then hashes within the distance agree in some slot up to its allowance (Norouzi,
Punjani, Fleet: "Fast Exact Search in Hamming Space with Multi-Index Hashing", 2014). Per slot the hashes are sorted
into buckets by the slot's bits, and each hash looks into its own bucket and those one or two flipped bits away. Slots
grow wider as there are more hashes (`plan_slots`), so that buckets stay small.

A crop, a border or a tilt changes the hash of the whole beyond recognition, but hardly that of some centre crop against
that of another. Pictures with a crop of theirs within CROP_DISTANCE bits of a crop of the other, and a slot of
CROP_SLOTS that agrees up to one bit, are candidates; transforms.similar_images.alignment decides. That rule is about
two pictures alone, so what is found does not depend on which others there are.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations, islice
from math import comb
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba.core import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from schemas.file_features import CROPS, TURNS
from transforms.tables.arrow_tables import ArrowBatches, gather_tables, is_first, split_datasets
from transforms.tables.grouped import first_of_each
from transforms.tables.keyed import key_codes
from transforms.tables.machine import kernel

Words = NDArray[np.uint64]
Flags = NDArray[np.bool_]
Indexes = NDArray[np.int32]
Dataset = tuple[pa.Scalar, ...]
"""The values of a dataset's key."""

HASH_BITS = 256
HASH_DISTANCE = 31
"""Bits within which two PDQ hashes are a match, by its authors (Facebook, "The TMK+PDQF Video-Hashing Algorithm and the
PDQ Image-Hashing Algorithm", 2019). Pairs beyond are not kept."""
CROP_DISTANCE = 70
"""Bits within which crops of two pictures make them candidates. Of the verified pairs of edited pictures 99.8 % are."""
CROP_SCALES = (1.0, *CROPS)
"""Sides of the whole picture and of its centre crops: those of file_features.crop_hashes."""
IS_HASH = r"^[0-9a-f]{64}"
"""How the fingerprint of a picture with a hash of sufficient quality begins: with the hash."""

OLD_AT_ONCE = 200_000
"""Old pictures that new ones are compared with at once."""
MOST_HERE = 2_000_000
"""Candidates that one process holds; more are written to disk by many."""

HASHES = ("fingerprint", "crop_hashes", "turned_hashes")
"""What of a picture is compared, beside the key of its dataset."""
_PREFIX_BITS = 22
"""Bits of a slot that are looked up in a table of all that there can be."""
_AT_ONCE = 64
"""Hashes that are looked up before the candidates of any are compared: so these do not wait for memory in turn."""
_IN_CACHE = 1 << 16
"""Hashes up to which it does not matter in which order they are asked for."""
_LOOK_UP_NS, _COMPARE_NS = 12.0, 1.6  # measured; they only choose between plans that find the same
_FIRST_BUFFER = 1 << 16

_CANDIDATE = pa.schema(
    [
        *((name, pa.string()) for name in ("fingerprint", "other_fingerprint", "signal")),
        *((name, pa.int32()) for name in ("distance", "crop", "other_crop")),
    ]
)


@dataclass(frozen=True)
class Slots:
    """Parts of a hash: slot i is bits starts[i] to starts[i] + widths[i], in which errors[i] bits may differ."""

    starts: NDArray[np.int64]
    widths: NDArray[np.int64]
    errors: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts)


CROP_SLOTS = Slots(np.arange(0, 237, 10), np.full(24, 20), np.ones(24, np.int64))
"""Overlapping slots by which crops are found, however many there are: of the pairs within CROP_DISTANCE, 99.9 %."""


def plan_slots(count: int, distance: int) -> Slots:
    """The slots, and errors in each, by which `count` hashes within `distance` are found soonest, none missed.

    >>> [len(plan_slots(count, 31)) for count in (100, 10**5, 10**8)]
    [1, 16, 12]
    >>> int((plan_slots(10**7, 31).errors + 1).sum()) > 31
    True
    """
    best, least = Slots(np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros(1, np.int64)), count * _COMPARE_NS
    for number in range(-(-(distance + 1) // 3), min(distance + 1, 32) + 1):
        least_errors, more = divmod(distance + 1 - number, number)
        if least_errors > 2 or (least_errors == 2 and more):
            continue
        bounds = np.linspace(0, HASH_BITS, number + 1).astype(np.int64)
        widths = np.diff(bounds)
        errors = np.full(number, least_errors, np.int64)
        errors[np.argsort(-widths, kind="stable")[:more]] += 1
        cost = 0.0
        for width, allowed in zip(widths.tolist(), errors.tolist(), strict=True):
            probes = sum(comb(width, flipped) for flipped in range(allowed + 1))
            cost += probes * (_LOOK_UP_NS + count / 2 ** min(width, _PREFIX_BITS) * _COMPARE_NS)
        if cost < least:
            best, least = Slots(bounds[:-1], widths, errors), cost
    return best


def hash_words(hashes: NDArray[np.uint8]) -> Words:
    """Hashes as four machine words each: uint8 (n, 32), most significant bit first, to uint64 (n, 4)."""
    return np.ascontiguousarray(hashes).view(">u8").astype(np.uint64)


def near_pairs(
    words: Words,
    owners: Indexes,
    *,
    asks: Flags,
    answers: Flags,
    slots: Slots,
    distance: int,
    only: Sequence[int] | None = None,
) -> Iterator[tuple[Indexes, Indexes, NDArray[np.int16]]]:
    """Pairs of hashes within `distance` that some slot finds: batches of the rows that ask, the rows that answer, bits.

    words: uint64 (n, 4). owners: int32 (n,), the picture that a hash is of; those of one picture make no pair. asks,
    answers: bool (n,): which hashes look for others, and which are found. Where both of a pair do both, the lesser
    owner asks. `only` are the slots looked through, of all. A pair of hashes comes once, from the first slot that
    finds it. Soonest where the fewer answer: these alone are sorted.

    Memory: some 100 bytes a hash that answers, 50 one that asks. Time: per slot, bucket sorting without comparing what
    answers, then what `plan_slots` reckons for each that asks.
    """
    asking, answering = np.flatnonzero(asks), np.flatnonzero(answers)
    for number in range(len(slots)) if only is None else only:
        start, width, errors = int(slots.starts[number]), int(slots.widths[number]), int(slots.errors[number])
        keys, key_bits = slot_keys(words, start, width), min(width, 32)
        above = max(key_bits - _PREFIX_BITS, 0)
        shift = max(key_bits - len(answering).bit_length() - 1, above)
        offsets, order = sort_into_buckets(keys[answering], shift, 1 << (key_bits - shift))
        found_rows = answering[order]
        rows = asking
        if len(asking) == len(answering) == len(words):
            rows = found_rows
        elif len(answering) > _IN_CACHE:
            rows = asking[sort_into_buckets(keys[asking], shift, 1 << (key_bits - shift))[1]]
        masks = np.array(
            [
                sum(1 << bit for bit in flipped)
                for count in range(errors + 1)
                for flipped in combinations(range(width), count)
            ],
            np.uint32,
        )
        seekers = (words, keys, owners, answers)
        if rows is not asking or len(asking) < len(words):
            seekers = (words[rows], keys[rows], owners[rows], answers[rows])
        others = (words[found_rows], keys[found_rows], owners[found_rows], asks[found_rows])
        marks = mark_keys(keys[found_rows], above, 1 << (key_bits - above))
        index = (offsets, np.uint32(shift), marks, np.uint32(above))
        plan = (masks, slots.starts, slots.widths, slots.errors, number, distance)
        room, first = _FIRST_BUFFER, 0
        while first < len(rows):
            left, right, bits = np.empty(room, np.int32), np.empty(room, np.int32), np.empty(room, np.int16)
            found, after = search_slot(*seekers, *others, *index, *plan, first, left, right, bits)
            if after == first:  # _AT_ONCE hashes alone have more answers than there is room for
                room *= 4
                continue
            first = after
            if found:
                yield rows[left[:found]].astype(np.int32), found_rows[right[:found]].astype(np.int32), bits[:found]


def _count_bits(context, word):
    def generate(context, builder, signature, arguments):
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


popcount: Any = intrinsic(_count_bits)
"""Bits set in a uint64: the machine's own instruction, for kernels."""


@kernel
def slot_keys(words, start, width):
    """The bits of a slot of each hash, uint32 (n,)."""
    keys = np.empty(len(words), np.uint32)
    for row in range(len(words)):
        keys[row] = slot_bits(words[row, 0], words[row, 1], words[row, 2], words[row, 3], start, width)
    return keys


@kernel
def slot_bits(first, second, third, fourth, start, width):
    """Bits start to start + width of a hash, at most 32; bit 0 is the most significant of the first word."""
    if width == 0:
        return np.uint32(0)
    here, after = first, second
    if start >= 192:
        here, after = fourth, np.uint64(0)
    elif start >= 128:
        here, after = third, fourth
    elif start >= 64:
        here, after = second, third
    within = np.uint64(start % 64)
    bits = here << within
    if within > 0:
        bits |= after >> (np.uint64(64) - within)
    return np.uint32(bits >> np.uint64(64 - width))


@kernel
def sort_into_buckets(keys, shift, buckets):
    """Counting sort of keys by upper bits: where each bucket begins, int32 (buckets + 1,), and the rows in order."""
    offsets = np.zeros(buckets + 1, np.int32)
    for key in keys:
        offsets[(key >> shift) + 1] += 1
    for bucket in range(buckets):
        offsets[bucket + 1] += offsets[bucket]
    place = offsets[:-1].copy()
    order = np.empty(len(keys), np.int32)
    for row in range(len(keys)):
        bucket = keys[row] >> shift
        order[place[bucket]] = row
        place[bucket] += 1
    return offsets, order


@kernel
def mark_keys(keys, above, count):
    """Which upper bits keys have: a bit for each of `count`."""
    marks = np.zeros(max(count // 64, 1), np.uint64)
    for key in keys:
        mark = key >> above
        marks[mark >> 6] |= np.uint64(1) << np.uint64(mark & 63)
    return marks


@kernel
def search_slot(
    words, keys, owners, answers, others, other_keys, other_owners, asks, offsets, shift, marks, above, masks,
    starts, widths, errors, number, distance, first, left, right, bits,
):  # fmt: skip
    """Fills left, right and bits with pairs of a row and an other that agree in slot `number`, from row `first` on.

    The others are in buckets by the slot's upper bits; `marks` tell which bits there are (mark_keys). `answers` are of
    the rows, `asks` of the others (near_pairs). Returns how many pairs there are, and the row to go on with: when there
    is no more room, one that is done again.
    """
    one, six, low = np.uint64(1), np.uint32(6), np.uint32(63)
    near, near_row = np.empty(_AT_ONCE * len(masks) + 1, np.uint32), np.empty(_AT_ONCE * len(masks) + 1, np.uint32)
    found = 0
    for start in range(first, len(keys), _AT_ONCE):
        earlier_found = found
        hits = np.uint64(0)
        for row in range(start, min(start + _AT_ONCE, len(keys))):
            for mask_number in range(len(masks)):  # without a branch: most keys are nobody's
                key = np.uint32(keys[row] ^ masks[mask_number])
                near[hits], near_row[hits] = key, row
                mark = np.uint32(key >> above)
                hits += (marks[mark >> six] >> np.uint64(mark & low)) & one
        for hit in range(hits):
            key, row = near[hit], near_row[hit]
            bucket = np.uint32(key >> shift)
            for other in range(np.uint64(offsets[bucket]), np.uint64(offsets[bucket + np.uint64(1)])):
                e, f = words[row, 0] ^ others[other, 0], words[row, 1] ^ others[other, 1]
                g, h = words[row, 2] ^ others[other, 2], words[row, 3] ^ others[other, 3]
                apart = np.int64(popcount(e) + popcount(f) + popcount(g) + popcount(h))
                if apart > distance or other_keys[other] != key:
                    continue
                if answers[row] and asks[other]:
                    if owners[row] >= other_owners[other]:
                        continue
                elif owners[row] == other_owners[other]:
                    continue
                seen = False
                for earlier in range(number):
                    differing = slot_bits(e, f, g, h, starts[earlier], widths[earlier])
                    if np.int64(popcount(np.uint64(differing))) <= errors[earlier]:
                        seen = True
                        break
                if seen:
                    continue
                if found == len(left):
                    return earlier_found, start
                left[found], right[found], bits[found] = row, other, apart
                found += 1
    return found, len(keys)


def find_pairs(new: pa.Table, *, key: Sequence[str], old: ArrowBatches) -> pa.Table | None:
    """Pairs of fingerprints of one dataset by their hashes, at least one of each `new`: one row per pair and signal.

    Found by this process on all its cores. `new` and the batches of `old` have the columns `key` of the dataset,
    `fingerprint`, `crop_hashes` and `turned_hashes` (both may be null), and no fingerprint of a dataset in common. Of
    several pictures of one fingerprint that with the least crop hashes stands for all. Rows of the result: `key`,
    `fingerprint`, `other_fingerprint` (the greater), `signal` (hash, turned, or crop: a candidate), `distance` in bits,
    and for crop the numbers of the nearest two crops in CROP_SCALES. None where more than MOST_HERE candidates come of
    it.

    Memory: 300 bytes a picture of `new`, and of OLD_AT_ONCE a core.
    """
    hashed = _hashed(new.select([*key, *HASHES]), is_new=True)
    new_of = by_dataset(hashed, key)
    fields = [*(hashed.schema.field(name) for name in key), *_CANDIDATE]
    found = [pa.schema(fields).empty_table(), *(find_candidates(dataset, part) for dataset, part in new_of.items())]
    tables, cores = gather_tables(old, OLD_AT_ONCE), os.cpu_count() or 1
    with ThreadPoolExecutor(cores) as pool:
        while some := list(islice(tables, cores)):
            for more in pool.map(lambda table: compare_table(_hashed(table, is_new=False), new_of, key), some):
                found += more
            if sum(map(len, found)) > MOST_HERE:
                return None
    return _nearest(pa.concat_tables([rows.cast(found[0].schema) for rows in found]), key=key)


def _nearest(found: pa.Table, *, key: Sequence[str]) -> pa.Table:
    """The nearest candidate of each pair and signal."""
    (codes,) = key_codes(found, key=(*key, "fingerprint", "other_fingerprint", "signal"))
    order = (found[name].to_numpy() for name in ("distance", "crop", "other_crop"))
    return found.take(pa.array(first_of_each(codes, *order)))


def _hashed(images: pa.Table, *, is_new: bool) -> pa.Table:
    """Of pictures those with hashes."""
    hashed = images.filter(pc.match_substring_regex(images["fingerprint"], IS_HASH))
    return hashed.append_column("is_new", pa.repeat(pa.scalar(is_new), len(hashed)))


def by_dataset(table: pa.Table, key: Sequence[str]) -> dict[Dataset, pa.Table]:
    """The rows of each dataset."""
    ordered = table.sort_by([(name, "ascending") for name in key])
    return {tuple(part[name][0] for name in key): part for part in split_datasets(ordered, key=key)}


def compare_table(old: pa.Table, new_of: Mapping[Dataset, pa.Table], key: Sequence[str]) -> list[pa.Table]:
    """Candidates among old pictures and the new ones of their datasets, and of two new ones of these."""
    return [
        find_candidates(dataset, pa.concat_tables([new_of[dataset].cast(part.schema), part]))
        for dataset, part in by_dataset(old, key).items()
        if dataset in new_of
    ]


def find_candidates(dataset: Dataset, table: pa.Table, *, parts: int = 1, part: int = 0) -> pa.Table:
    """What compare_hashes finds in (a share of) a dataset, whose first columns are its key."""
    names = table.column_names[: len(dataset)]
    found = compare_hashes(table.drop_columns(names), parts=parts, part=part)
    columns = [pa.repeat(value, len(found)) for value in dataset]
    return pa.table([*columns, *found.columns], names=[*names, *found.column_names])


def compare_hashes(table: pa.Table, *, parts: int = 1, part: int = 0) -> pa.Table:
    """The kernel of find_hash_pairs for one dataset, or its share `part` of `parts`: candidates may come repeatedly."""
    table = _once_each(table)
    fingerprints = table["fingerprint"].combine_chunks()
    is_new = table["is_new"].to_numpy(zero_copy_only=False)
    whole = hash_words(_from_hex(fingerprints))
    found = [_pairs_of_whole(whole, is_new, parts, part)]
    if table["crop_hashes"].null_count < len(table):
        found.append(_pairs_of_crops(whole, is_new, table["crop_hashes"], parts, part))
    if table["turned_hashes"].null_count < len(table):
        found.append(_pairs_of_turned(whole, is_new, table["turned_hashes"], parts, part))
    return pa.concat_tables(_in_order(pairs, fingerprints) for pairs in found)


def _once_each(table: pa.Table) -> pa.Table:
    """The first row of each fingerprint, by crop hashes and turned hashes."""
    if len(pc.unique(table["fingerprint"])) == len(table):
        return table
    table = table.sort_by([(name, "ascending") for name in ("fingerprint", "crop_hashes", "turned_hashes")])
    return table.filter(pa.array(is_first(table, key=["fingerprint"])))


@dataclass(frozen=True)
class _Pairs:
    """Pairs of rows of one signal: int32 rows, int16 bits, int32 numbers of crops."""

    signal: str
    left: Indexes
    right: Indexes
    bits: NDArray[np.int16]
    crop: Indexes | None = None
    other_crop: Indexes | None = None

    def columns(self) -> list[NDArray[Any]]:
        """left, right, bits, crop, other_crop; -1 where there are no crops."""
        nothing = np.full(len(self.left), -1, np.int32)
        crops = (nothing if each is None else each for each in (self.crop, self.other_crop))
        return [self.left, self.right, self.bits, *crops]


def _pairs_of_whole(whole: Words, is_new: Flags, parts: int, part: int) -> _Pairs:
    owners, everyone = np.arange(len(whole), dtype=np.int32), np.ones(len(whole), bool)
    slots = plan_slots(len(whole), HASH_DISTANCE)
    only = range(part, len(slots), parts)
    batches = near_pairs(whole, owners, asks=everyone, answers=is_new, slots=slots, distance=HASH_DISTANCE, only=only)
    return _Pairs("hash", *_joined(list(batches)))


def _pairs_of_crops(whole: Words, is_new: Flags, crops: pa.ChunkedArray, parts: int, part: int) -> _Pairs:
    has, hashes = _unpacked(crops, len(CROP_SCALES) - 1)
    each = len(CROP_SCALES)
    words = np.concatenate([whole[has][:, None, :], hashes.reshape(len(has), each - 1, 4)], axis=1).reshape(-1, 4)
    owners = np.repeat(np.arange(len(has), dtype=np.int32), each)
    asks, answers = np.ones(len(words), bool), np.repeat(is_new[has], each)
    pairs: _Pairs | None = None
    only = range(part, len(CROP_SLOTS), parts)
    pending: list[tuple[Indexes, Indexes, NDArray[np.int16]]] = []
    for batch in near_pairs(
        words, owners, asks=asks, answers=answers, slots=CROP_SLOTS, distance=CROP_DISTANCE, only=only
    ):
        pending.append(batch)
        if sum(len(left) for left, _, _ in pending) > 1 << 22:
            pairs, pending = _nearest_crops(pairs, pending), []
    nearest = _nearest_crops(pairs, pending)
    left, right = has[nearest.left].astype(np.int32), has[nearest.right].astype(np.int32)
    beyond = _bits_apart(whole, left, right) > HASH_DISTANCE  # the others are pairs already
    columns = (left, right, *nearest.columns()[2:])
    return _Pairs("crop", *(column[beyond] for column in columns))


def _nearest_crops(pairs: _Pairs | None, batches: list[tuple[Indexes, Indexes, NDArray[np.int16]]]) -> _Pairs:
    """Per pair of pictures the nearest two crops, ties to the larger; `pairs` are those known so far."""
    each = len(CROP_SCALES)
    left, right, bits = _joined(batches)
    columns: list[NDArray[Any]] = [left // each, right // each, bits, left % each, right % each]
    if pairs is not None:
        columns = [np.concatenate(both) for both in zip(pairs.columns(), columns, strict=True)]
    order = np.lexsort((columns[4], columns[3], columns[2], columns[1], columns[0]))
    columns = [column[order] for column in columns]
    is_first = np.ones(len(order), bool)
    is_first[1:] = (np.diff(columns[0]) != 0) | (np.diff(columns[1]) != 0)
    return _Pairs("crop", *(column[is_first] for column in columns))


def _pairs_of_turned(whole: Words, is_new: Flags, turned: pa.ChunkedArray, parts: int, part: int) -> _Pairs:
    has, hashes = _unpacked(turned, TURNS)
    forms = hashes.reshape(-1, 4)
    words = np.concatenate([whole, forms])
    owners = np.concatenate([np.arange(len(whole)), np.repeat(has, TURNS)]).astype(np.int32)
    is_form = np.arange(len(words)) >= len(whole)
    is_new = is_new[owners]
    slots = plan_slots(len(words), HASH_DISTANCE)
    batches: list[tuple[Indexes, Indexes, NDArray[np.int16]]] = []
    for asks, answers in ((~is_form, is_form & is_new), (is_form & ~is_new, ~is_form & is_new)):
        batches += near_pairs(
            words,
            owners,
            asks=asks,
            answers=answers,
            slots=slots,
            distance=HASH_DISTANCE,
            only=range(part, len(slots), parts),
        )
    left, right, bits = _joined(batches)
    return _Pairs("turned", owners[left], owners[right], bits)


def _in_order(pairs: _Pairs, fingerprints: pa.StringArray) -> pa.Table:
    """Pairs of rows as pairs of fingerprints, the lesser first."""
    crop, other_crop = pairs.columns()[3:]
    ranks = np.empty(len(fingerprints), np.int64)
    ranks[pc.sort_indices(fingerprints).to_numpy()] = np.arange(len(fingerprints))
    swap = ranks[pairs.left] > ranks[pairs.right]
    left, right = np.where(swap, pairs.right, pairs.left), np.where(swap, pairs.left, pairs.right)
    return pa.table(
        {
            "fingerprint": fingerprints.take(pa.array(left)),
            "other_fingerprint": fingerprints.take(pa.array(right)),
            "signal": pa.repeat(pa.scalar(pairs.signal), len(left)),
            "distance": pa.array(pairs.bits.astype(np.int32)),
            "crop": pa.array(np.where(swap, other_crop, crop).astype(np.int32)),
            "other_crop": pa.array(np.where(swap, crop, other_crop).astype(np.int32)),
        }
    )


def _joined(
    batches: list[tuple[Indexes, Indexes, NDArray[np.int16]]],
) -> tuple[Indexes, Indexes, NDArray[np.int16]]:
    if not batches:
        return np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.int16)
    left, right, bits = (np.concatenate(column) for column in zip(*batches, strict=True))
    return left, right, bits


def _bits_apart(words: Words, left: Indexes, right: Indexes) -> NDArray[np.int64]:
    apart: NDArray[np.int64] = np.bitwise_count(words[left] ^ words[right]).sum(axis=1, dtype=np.int64)
    return apart


def _from_hex(fingerprints: pa.StringArray) -> NDArray[np.uint8]:
    """The hashes that fingerprints begin with, uint8 (n, 32)."""
    joined = "".join(pc.utf8_slice_codeunits(fingerprints, 0, 64).to_pylist())
    return np.frombuffer(bytes.fromhex(joined), np.uint8).reshape(-1, 32)


def _unpacked(column: pa.ChunkedArray, each: int) -> tuple[NDArray[np.int64], Words]:
    """The rows that have hashes, and these: uint64 (rows * each, 4)."""
    values = column.combine_chunks()
    has = np.flatnonzero(pc.is_valid(values).to_numpy(zero_copy_only=False))
    raw = b"".join(values.take(pa.array(has)).to_pylist())
    return has, hash_words(np.frombuffer(raw, np.uint8).reshape(len(has) * each, 32))
