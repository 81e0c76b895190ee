"""Pairs of similar pictures within one process: all that brute force finds, of each pair the first signal."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from schemas.keys import DATASET_KEY
from tests.transforms.clusters.histories import KEY, key_of
from transforms.similar_images import hamming
from transforms.similar_images.hamming import HASH_DISTANCE, find_pairs
from transforms.similar_images.pairing import (
    PAIR_COLUMNS,
    crop_candidates,
    cropped_pairs,
    embedded_pairs,
    first_signals,
    whole_pairs,
)

PICTURES = pa.schema([*KEY, ("fingerprint", pa.string()), ("crop_hashes", pa.binary()), ("turned_hashes", pa.binary())])
FOUND = pa.schema(
    [
        *KEY,
        *((name, pa.string()) for name in ("fingerprint", "other_fingerprint", "signal")),
        *((name, pa.int32()) for name in ("distance", "crop", "other_crop")),
    ]
)


def own(dataset: int) -> dict[str, Any]:
    """The key of a dataset."""
    return dict(zip(DATASET_KEY, key_of(dataset), strict=True))


def pictures(hashes: dict[int, list[bytes]]) -> pa.Table:
    """Pictures by their hashes, dataset by dataset."""
    rows = [
        {**own(dataset), "fingerprint": each.hex(), "crop_hashes": None, "turned_hashes": None}
        for dataset, its in hashes.items()
        for each in its
    ]
    return pa.Table.from_pylist(rows, PICTURES)


def near(count: int, seed: int) -> list[bytes]:
    """Hashes of which many are near each other."""
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2, (count, 256), dtype=np.uint8)
    for row in range(1, count, 2):
        bits[row] = bits[row - 1]
        bits[row, rng.permutation(256)[: rng.integers(1, 45)]] ^= 1
    return [each.tobytes() for each in np.packbits(bits, axis=1)]


def expected(new: list[bytes], old: list[bytes], dataset: int) -> set[tuple[Any, ...]]:
    """By brute force: pairs within the distance, one of them new."""
    found = set()
    for one, other in combinations(sorted({*new, *old}), 2):
        apart = (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_count()
        if apart <= HASH_DISTANCE and (one in new or other in new):
            found.add((dataset, one.hex(), other.hex(), apart))
    return found


def told(found: pa.Table | None) -> set[tuple[Any, ...]]:
    """What was found, each pair once."""
    assert found is not None
    rows = found.to_pylist()
    pairs = {(int(r["dataset_name"][1:]), r["fingerprint"], r["other_fingerprint"], r["distance"]) for r in rows}
    assert len(pairs) == len(rows)
    return pairs


def test_new_pictures_are_compared_with_all_of_their_datasets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hamming, "OLD_AT_ONCE", 30)
    all_of = {1: near(80, 1), 2: near(60, 2), 3: near(40, 3)}
    new_of, old_of = {1: all_of[1][:21], 2: all_of[2]}, {1: all_of[1][21:], 3: all_of[3]}
    found = find_pairs(pictures(new_of), key=DATASET_KEY, old=pictures(old_of).to_batches(max_chunksize=25))
    wanted = {pair for number in (1, 2) for pair in expected(new_of[number], old_of.get(number, []), number)}
    assert told(found) == wanted
    assert len(wanted) > 20
    assert found is not None
    assert found.schema == FOUND


def test_no_new_pictures_no_pairs_and_too_many_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    old = pictures({1: near(40, 1)})
    assert told(find_pairs(old.slice(0, 0), key=DATASET_KEY, old=old.to_batches())) == set()
    monkeypatch.setattr(hamming, "MOST_HERE", 3)
    assert find_pairs(old.slice(0, 20), key=DATASET_KEY, old=old.slice(20).to_batches()) is None


def candidates(*rows: tuple[str, str, str, int]) -> pa.Table:
    """What hashes found: fingerprint, other, signal, distance; crops are of whole pictures."""
    names = ("fingerprint", "other_fingerprint", "signal", "distance")
    found = [{**own(1), **dict(zip(names, row, strict=True)), "crop": 0, "other_crop": 0} for row in rows]
    return pa.Table.from_pylist(found, FOUND)


def test_crops_are_pairs_where_the_pictures_agree() -> None:
    rng = np.random.default_rng(4)
    x, y = np.meshgrid(np.arange(32), np.arange(32))
    waves = [128 + 60 * np.sin(x / a) + 60 * np.cos(y / b + x / 9) for a, b in ((3, 4), (5, 2))]
    one, other = (np.clip(wave, 0, 255).astype(np.uint8).tobytes() for wave in waves)
    noisy = np.clip(waves[0] + rng.normal(size=(32, 32)), 0, 255).astype(np.uint8).tobytes()
    seen = [("a", b"0", one), ("a", None, None), ("b", b"1", other), ("b", b"0", noisy), ("c", b"0", other)]
    rows = [{**own(1), "fingerprint": look, "crop_hashes": crop, "thumbnail": small} for look, crop, small in seen]
    types = [*KEY, ("fingerprint", pa.string()), ("crop_hashes", pa.binary()), ("thumbnail", pa.binary())]
    thumbnails = pa.Table.from_pylist(rows, pa.schema(types))
    near_each = candidates(("a", "b", "crop", 60), ("a", "c", "crop", 61), ("a", "x", "crop", 5), ("b", "c", "hash", 7))
    found = cropped_pairs(crop_candidates(near_each), thumbnails=thumbnails)
    assert found.column_names == list(PAIR_COLUMNS)
    assert [(row["other_fingerprint"], row["signal"], row["distance"]) for row in found.to_pylist()] == [
        ("b", "crop", 60)
    ]
    assert 0.95 < found["similarity"][0].as_py() <= 1


def test_of_each_pair_the_first_signal() -> None:
    whole = whole_pairs(candidates(("a", "b", "turned", 3), ("a", "b", "hash", 16), ("a", "c", "crop", 9)))
    assert [(row["signal"], row["similarity"]) for row in whole.to_pylist()] == [
        ("turned", 1 - 3 / 256),
        ("hash", 1 - 16 / 256),
    ]
    alike = {**own(1), "fingerprint": "a", "signal": "embedding", "distance": None, "similarity": 0.97}
    embedded = pa.Table.from_pylist([{**alike, "other_fingerprint": other} for other in "bd"], whole.schema)
    pairs = first_signals([whole, embedded]).sort_by("other_fingerprint").to_pylist()
    assert [(pair["other_fingerprint"], pair["signal"], pair["distance"]) for pair in pairs] == [
        ("b", "hash", 16),
        ("d", "embedding", None),
    ]


def test_embeddings_that_are_similar_of_which_one_is_new() -> None:
    rng = np.random.default_rng(6)
    base = rng.normal(size=(6, 96))
    rows = [
        {**own(dataset), "fingerprint": f"{at}{letter}", "embedding": (base[at] + rng.normal(size=96) * 0.1).tolist()}
        for dataset in (1, 2)
        for at in range(6)
        for letter in "abc"
    ]
    shorter = {**own(1), "fingerprint": "short", "embedding": base[0, :32].tolist()}
    without = [{**own(1), "fingerprint": name, "embedding": vector} for name, vector in (("no", None), ("empty", []))]
    types = [*KEY, ("fingerprint", pa.string()), ("embedding", pa.list_(pa.float32()))]
    table = pa.Table.from_pylist([*rows, shorter, *without, rows[0]], pa.schema(types))
    is_new = pa.array([row["fingerprint"][1:] in ("a", "hort", "o", "mpty") for row in table.to_pylist()])
    new, old = table.filter(is_new), table.filter(pc.invert(is_new))
    found = embedded_pairs(new, old=old.filter(pc.equal(old["dataset_name"], key_of(1)[2])))
    pairs = {(row["dataset_name"], row["fingerprint"], row["other_fingerprint"]) for row in found.to_pylist()}
    assert pairs == {(key_of(1)[2], f"{at}a", f"{at}{other}") for at in range(6) for other in "bc"}
    vectors = {row["fingerprint"]: np.array(row["embedding"], np.float32).astype(float) for row in rows[:18]}
    for row in found.to_pylist():
        one, other = vectors[row["fingerprint"]], vectors[row["other_fingerprint"]]
        assert abs(row["similarity"] - one @ other / np.linalg.norm(one) / np.linalg.norm(other)) < 1e-6
    assert len(embedded_pairs(new.slice(0, 0), old=old)) == 0
    assert len(embedded_pairs(table)) == 36
