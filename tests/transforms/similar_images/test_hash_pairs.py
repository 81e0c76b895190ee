"""Pairs of hashes: against brute force, at every plan of slots, for crops and turned forms, over runs and parts."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from transforms.similar_images import hamming, hash_pairs
from transforms.similar_images.hamming import (
    CROP_DISTANCE,
    CROP_SLOTS,
    HASH_DISTANCE,
    Slots,
    compare_hashes,
    find_pairs,
    hash_words,
    near_pairs,
    plan_slots,
)
from transforms.similar_images.hash_pairs import find_hash_pairs

KEY = ("bucket", "project_name", "dataset_name")


def planted(count: int, seed: int = 0, most: int = 45) -> np.ndarray:
    """uint8 (count, 32): half of them copies of others with up to `most` bits flipped, clustered and spread."""
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 256, (count, 32), dtype=np.uint8)
    for row in range(count // 2):
        bits = np.unpackbits(hashes[rng.integers(count // 2, count)])
        flipped = rng.integers(0, most + 1)
        start = rng.integers(0, 257 - flipped)
        chosen = np.arange(start, start + flipped) if row % 2 else rng.permutation(256)[:flipped]
        bits[chosen] ^= 1
        hashes[row] = np.packbits(bits)
    return hashes


def bits_apart(hashes: np.ndarray) -> np.ndarray:
    """int (n, n): Hamming distances."""
    words = hash_words(hashes)
    return np.bitwise_count(words[:, None, :] ^ words[None, :, :]).sum(axis=-1)


def found_by(slots: Slots, hashes: np.ndarray, distance: int) -> list[tuple[int, int, int]]:
    """(row, row, bits) of the pairs that near_pairs finds, all against all."""
    everyone = np.ones(len(hashes), bool)
    owners = np.arange(len(hashes), dtype=np.int32)
    batches = near_pairs(hash_words(hashes), owners, asks=everyone, answers=everyone, slots=slots, distance=distance)
    return [
        (int(a), int(b), int(d)) for left, right, bits in batches for a, b, d in zip(left, right, bits, strict=True)
    ]


@pytest.mark.parametrize("count", [2, 10**3, 10**5, 10**6, 10**7, 10**9])
@pytest.mark.parametrize("distance", [0, 5, 17, 31])
def test_every_plan_finds_every_pair_once(count: int, distance: int) -> None:
    hashes = planted(800)
    apart = bits_apart(hashes)
    expected = {(a, b, int(apart[a, b])) for a, b in zip(*np.nonzero(np.triu(apart <= distance, 1)), strict=True)}
    slots = plan_slots(count, distance)
    found = found_by(slots, hashes, distance)
    assert len(found) == len(set(found))
    assert set(found) == expected
    assert (slots.errors + 1).sum() > distance or slots.widths.tolist() == [0]  # all in one bucket


def test_wider_slots_for_more_hashes() -> None:
    widths = [plan_slots(count, HASH_DISTANCE).widths.max() for count in (10**5, 10**7, 10**9)]
    assert widths == sorted(widths)
    assert widths[0] < widths[-1]


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 2**32 - 1))
def test_any_single_pair_within_the_distance_is_found(first: int, second: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    one = rng.integers(0, 256, 32, dtype=np.uint8)
    bits = np.unpackbits(one)
    flipped = {first, second, *rng.permutation(256)[: HASH_DISTANCE - 2].tolist()}
    bits[list(flipped)] ^= 1
    hashes = np.stack([one, np.packbits(bits)])
    for count in (10**5, 10**7, 10**9):
        assert found_by(plan_slots(count, HASH_DISTANCE), hashes, HASH_DISTANCE) == [(0, 1, len(flipped))]


def test_more_pairs_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hamming, "_FIRST_BUFFER", 4)
    bits = np.zeros((60, 256), np.uint8)
    bits[np.arange(60), np.arange(60)] = 1
    found = found_by(plan_slots(10**5, HASH_DISTANCE), np.packbits(bits, axis=1), HASH_DISTANCE)
    assert sorted(found) == [(a, b, 2) for a in range(60) for b in range(a + 1, 60)]


def pictures(hashes: np.ndarray, **more: pa.Array) -> pa.Table:
    """The columns that compare_hashes takes."""
    count = len(hashes)
    nothing = pa.nulls(count, pa.binary())
    columns = {"crop_hashes": nothing, "turned_hashes": nothing, "is_new": pa.array([True] * count), **more}
    return pa.table({"fingerprint": pa.array([row.tobytes().hex() for row in hashes]), **columns})


def as_set(found: pa.Table, *columns: str) -> set[tuple[object, ...]]:
    """The rows' columns, as a set."""
    return set(zip(*(found[name].to_pylist() for name in ("fingerprint", "other_fingerprint", *columns)), strict=True))


@pytest.mark.long
def test_crops_by_the_rule_of_two_pictures_alone() -> None:
    rng = np.random.default_rng(5)
    windows = rng.integers(0, 256, (120, 5, 32), dtype=np.uint8)
    for row in range(0, 120, 2):  # some crop of the one, with errors, is some crop of the other
        bits = np.unpackbits(windows[row, rng.integers(0, 5)])
        bits[rng.permutation(256)[: rng.integers(20, 90)]] ^= 1
        windows[row + 1, rng.integers(0, 5)] = np.packbits(bits)
    table = pictures(windows[:, 0], crop_hashes=pa.array([row.tobytes() for row in windows[:, 1:]]))
    names = table["fingerprint"].to_pylist()
    expected = set()
    for one in range(120):
        for other in range(one + 1, 120):
            best = _nearest(windows[one], windows[other])
            whole = np.unpackbits(windows[one, 0] ^ windows[other, 0]).sum()
            if best is not None and whole > HASH_DISTANCE:
                expected.add((*sorted((names[one], names[other])), best))
    found = compare_hashes(table)
    crops = found.filter(pc.equal(found["signal"], "crop"))
    assert as_set(crops, "distance") == expected
    assert 10 < len(expected) < 60
    parts = pa.concat_tables(compare_hashes(table, parts=4, part=part) for part in range(4))
    assert {row[:2] for row in as_set(parts)} == {row[:2] for row in as_set(found)}


def _nearest(one: np.ndarray, other: np.ndarray) -> int | None:
    best = None
    for a in one:
        for b in other:
            differing = np.unpackbits(a ^ b)
            slots = (
                differing[s : s + w].sum() <= e
                for s, w, e in zip(CROP_SLOTS.starts, CROP_SLOTS.widths, CROP_SLOTS.errors, strict=True)
            )
            if differing.sum() <= CROP_DISTANCE and any(slots):
                best = min(best or 256, int(differing.sum()))
    return best


def test_turned_forms_and_new_pictures_only() -> None:
    rng = np.random.default_rng(6)
    whole = rng.integers(0, 256, (30, 32), dtype=np.uint8)
    turned = rng.integers(0, 256, (30, 7, 32), dtype=np.uint8)
    turned[3, 4] = whole[20] ^ np.eye(1, 32, dtype=np.uint8)[0]  # one bit off
    turned[21, 0] = whole[5]
    is_new = np.arange(30) >= 20
    table = pictures(whole, turned_hashes=pa.array([row.tobytes() for row in turned]), is_new=pa.array(is_new))
    names = table["fingerprint"].to_pylist()
    expected = {(*sorted((names[3], names[20])), "turned", 1), (*sorted((names[5], names[21])), "turned", 0)}
    assert as_set(compare_hashes(table), "signal", "distance") == expected
    old = table.set_column(table.column_names.index("is_new"), "is_new", pa.array([False] * 30))
    assert compare_hashes(old).num_rows == 0


@pytest.mark.parametrize("in_cache", [10, 1000])  # what asks is put in order, or taken as it comes
@pytest.mark.parametrize("first", [0, 30, 770, 800])
def test_some_ask_others_answer(monkeypatch: pytest.MonkeyPatch, first: int, in_cache: int) -> None:
    monkeypatch.setattr(hamming, "_IN_CACHE", in_cache)
    hashes = planted(800)
    apart = bits_apart(hashes)
    owners = np.arange(800, dtype=np.int32) // 2
    answers = np.random.default_rng(1).permutation(800) >= first
    asks = np.arange(800) % 5 > 0
    found = []
    for left, right, bits in near_pairs(
        hash_words(hashes), owners, asks=asks, answers=answers, slots=plan_slots(10**5, 31), distance=31
    ):
        found += zip(left.tolist(), right.tolist(), bits.tolist(), strict=True)
    expected = set()
    for a, b in zip(*np.nonzero(apart <= HASH_DISTANCE), strict=True):
        both = asks[a] and answers[b] and asks[b] and answers[a]
        if asks[a] and answers[b] and owners[a] != owners[b] and (not both or owners[a] < owners[b]):
            expected.add((int(a), int(b), int(apart[a, b])))
    assert len(found) == len(set(found))
    assert set(found) == expected


def test_old_pictures_that_this_process_reads(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hamming, "OLD_AT_ONCE", 50)
    hashes = np.unique(planted(400), axis=0)
    names = [row.tobytes().hex() for row in hashes] + ["content:1", "content:2"]
    rows = [(1, "p", dataset, name, None, None) for dataset in ("ada", "bob") for name in names]
    schema = "bucket int, project_name string, dataset_name string, fingerprint string, crop_hashes binary, "
    frame = spark.createDataFrame(rows, schema + "turned_hashes binary")
    is_new = "(fingerprint < '6' AND dataset_name = 'ada')"
    new, old = frame.where(is_new), frame.where(f"NOT {is_new}")
    expected = {tuple(row) for row in find_hash_pairs(new, key=KEY, old=old).collect()}
    here = find_pairs(new.toArrow(), key=KEY, old=old.toArrow().to_batches(max_chunksize=20))
    assert here is not None
    assert {tuple(row.values()) for row in here.to_pylist()} == expected
    assert len(expected) > 10
    nothing = find_pairs(new.limit(0).toArrow(), key=KEY, old=[])
    assert nothing is not None
    assert not len(nothing)
    monkeypatch.setattr(hamming, "MOST_HERE", 10)
    assert find_pairs(new.toArrow(), key=KEY, old=old.toArrow().to_batches()) is None


@pytest.mark.parametrize("few", [0, 1000])  # new ones are shuffled with the old, or sent to them
def test_runs_add_up_to_one_batch_in_every_dataset(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(hash_pairs, "FEW", few)
    monkeypatch.setattr(hash_pairs, "ONE_TASK", 300)  # so that one dataset is shared by several tasks
    rows = []
    for dataset, count in (("ada", 400), ("bob", 60), ("eve", 1)):
        hashes = np.unique(planted(count, seed=count), axis=0)
        rows += [
            (1, "p", dataset, row.tobytes().hex(), None, None, number % 3 == 0) for number, row in enumerate(hashes)
        ]
        apart = bits_apart(hashes)
        assert count == 1 or (np.triu(apart <= HASH_DISTANCE, 1)).any()
    rows += [(1, "p", "ada", f"content:{number}", None, None, True) for number in range(3)]
    schema = "bucket int, project_name string, dataset_name string, fingerprint string, crop_hashes binary, "
    frame = spark.createDataFrame(rows, schema + "turned_hashes binary, is_new boolean")
    new, old = frame.where("is_new"), frame.where("NOT is_new")
    found = [
        {tuple(row) for row in find_hash_pairs(side, key=KEY, old=other).drop("crop", "other_crop").collect()}
        for side, other in ((frame, None), (old, None), (new, old))
    ]
    assert found[1] | found[2] == found[0]
    assert not found[1] & found[2]
    names = {row[3]: row[2] for row in rows}
    words = {name: int(name, 16) for name in names if not name.startswith("content")}
    expected = {
        (one, other)
        for one in words
        for other in words
        if one < other and names[one] == names[other] and (words[one] ^ words[other]).bit_count() <= HASH_DISTANCE
    }
    assert {(row[3], row[4]) for row in found[0]} == expected
