"""`perceptual_hashes`: against PDQ of the picture itself, on real photographs and on one made here; what is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pdqhash
import pyarrow as pa
import pytest
from PIL import Image

from schemas.file_features import CROPS, FILE_FEATURES, HASH_BYTES, TURNS
from transforms.pictures.luminance import SHORTER_SIDE, reduced_luminance
from transforms.pictures.perceptual_hashes import (
    CONTENT,
    MIN_HASH_QUALITY,
    PictureHashes,
    hash_picture,
    settle_features,
)

PHOTOS = Path(__file__).parents[3].parent / "shared" / "data" / "photos"
needs_photos = pytest.mark.skipif(not PHOTOS.is_dir(), reason=f"the sample photos are not at {PHOTOS}")
FORMS = [*Image.Transpose]


def scene(width: int, height: int, seed: int = 1) -> Image.Image:
    """A grey picture of blobs of all sizes, as photographs have them: white noise, louder where coarser."""
    luck = np.random.default_rng(seed)
    sides = [(2**k, 2**k) for k in range(1, 11)]
    layers = [Image.fromarray(luck.normal(size=side).astype(np.float32)) for side in sides]
    waves = [np.asarray(layer.resize((width, height), Image.Resampling.BICUBIC)) for layer in layers]
    field = sum(wave / 2**k for k, wave in enumerate(waves))
    low, high = np.quantile(field, [0.01, 0.99])
    return Image.fromarray((np.clip((field - low) / max(high - low, 1e-9), 0, 1) * 255).astype(np.uint8))


def pdq(image: Image.Image) -> bytes:
    """The hash as the library gives it, of the picture in full size."""
    vector, _ = pdqhash.compute(np.asarray(image.convert("RGB")))
    return bytes(np.packbits(vector).tobytes())


def bits(one: bytes, other: bytes) -> int:
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_count()


def split(hashes: bytes | None) -> list[bytes]:
    assert hashes is not None
    return [hashes[start : start + HASH_BYTES] for start in range(0, len(hashes), HASH_BYTES)]


def own(hashes: PictureHashes) -> bytes:
    return bytes.fromhex(hashes.perceptual_hash)


@pytest.mark.long
@needs_photos
def test_reduced_pictures_have_nearly_the_hash_of_full_ones() -> None:
    folders = ("flight", "ukbench/base_images", "exif-samples/jpg/gps", "exif-samples/jpg/mobile")
    differing = []
    for path in sorted(path for folder in folders for path in (PHOTOS / folder).glob("*.jpg")):
        with Image.open(path) as image:
            found = hash_picture(reduced_luminance(image))
        with Image.open(path) as image:
            differing.append(bits(own(found), pdq(image)))
            assert min(image.size) < SHORTER_SIDE or found.perceptual_hash_quality >= MIN_HASH_QUALITY
    assert len(differing) > 30
    assert np.median(differing) <= 6
    assert max(differing) <= 22


def test_crops_have_the_hashes_of_cropped_pictures() -> None:
    picture = scene(1280, 960)
    hashes = hash_picture(picture)
    for share, found in zip(CROPS, split(hashes.crop_hashes), strict=True):
        margins = (round(1280 * (1 - share) / 2), round(960 * (1 - share) / 2))
        cropped = picture.crop((*margins, 1280 - margins[0], 960 - margins[1]))
        assert bits(found, own(hash_picture(cropped))) <= 4
        assert bits(found, own(hashes)) > 31  # a crop is another picture to PDQ


@pytest.mark.long
def test_turned_forms_are_those_of_turned_pictures() -> None:
    picture = scene(900, 700)
    hashes = hash_picture(picture, turned=True)
    forms = split(hashes.turned_hashes)
    assert len(forms) == TURNS
    assert hashes == hash_picture(picture, turned=True)
    assert own(hashes) == own(hash_picture(picture))
    found = [[bits(own(hash_picture(picture.transpose(turn))), form) for form in forms] for turn in FORMS]
    assert sorted(int(np.argmin(row)) for row in found) == list(range(TURNS))
    assert max(min(row) for row in found) <= 10
    assert [int(np.argmin(found[FORMS.index(turn)])) for turn in (Image.Transpose.ROTATE_180,)] == [1]
    assert hash_picture(picture).turned_hashes is None


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (31, 33), (319, 321), (4000, 40)])
def test_any_size_is_hashed(size: tuple[int, int]) -> None:
    hashes = hash_picture(scene(*size), turned=True)
    row = {name: getattr(hashes, name) for name in FILE_FEATURES.names if hasattr(hashes, name)}
    assert {name: len(value) for name, value in row.items() if name != "perceptual_hash_quality"} == {
        "perceptual_hash": 64,
        "crop_hashes": 128,
        "turned_hashes": 224,
        "thumbnail": 1024,
    }


def test_flat_pictures_have_no_quality_and_copies_the_same_hash() -> None:
    assert hash_picture(Image.new("L", (600, 400), 90)).perceptual_hash_quality < MIN_HASH_QUALITY
    picture = scene(1200, 900)
    whole, half = hash_picture(picture), hash_picture(picture.resize((600, 450), Image.Resampling.LANCZOS))
    assert whole.perceptual_hash_quality >= MIN_HASH_QUALITY
    assert bits(own(whole), own(half)) <= 6
    assert bits(own(whole), own(hash_picture(scene(1200, 900, seed=2)))) > 90


def test_thumbnails_are_averages_row_by_row() -> None:
    left = Image.new("L", (640, 320), 0)
    left.paste(200, (0, 0, 320, 160))
    thumbnail = np.frombuffer(hash_picture(left).thumbnail, np.uint8).reshape(32, 32)
    assert thumbnail[:16, :16].tolist() == [[200] * 16] * 16
    assert not thumbnail[16:].any()
    assert not thumbnail[:, 16:].any()


KEY = {"bucket": 1, "project_name": "demo", "dataset_name": "ada"}
STORED = pa.schema([(column.name, column.type) for column in FILE_FEATURES.columns])
GIVEN = pa.schema([*(field for field in STORED if field.name != "fingerprint"), ("content_hash", pa.string())])


def settle(row: dict[str, Any], current: dict[str, Any] | None, *untold: str) -> dict[str, Any]:
    """What becomes of one row of features, given what the table has of the file."""
    rows = [{**dict.fromkeys(GIVEN.names), **KEY, "uri": "a", **row}, {**dict.fromkeys(GIVEN.names), **KEY, "uri": "b"}]
    there = [{**dict.fromkeys(STORED.names), **KEY, "uri": uri, "fingerprint": uri} for uri in ("c", "d")]
    if current is not None:
        there.insert(1, {**there[0], "uri": "a", **current})
    found = settle_features(
        pa.Table.from_pylist(rows[::-1], GIVEN), pa.Table.from_pylist(there, STORED), untold=untold
    ).select(STORED.names)
    other, settled = found.to_pylist()
    assert other == {**dict.fromkeys(STORED.names), **KEY, "uri": "b"}
    return {name: value for name, value in settled.items() if value is not None and name not in (*KEY, "uri")}


def test_features_that_are_not_told_stay_while_the_picture_looks_the_same() -> None:
    known = {"perceptual_hash": "h", "thumbnail": b"t", "embedding": [0.5], "fingerprint": "h/17ad2af110d8d75a"}
    told = {"perceptual_hash": "h", "perceptual_hash_quality": 50}
    same = {**told, "embedding": [0.5], "fingerprint": "h/17ad2af110d8d75a"}
    assert settle(told, known, "embedding") == same
    assert settle(told, known, "embedding", "thumbnail") == {**same, "thumbnail": b"t"}
    other = {**told, "perceptual_hash": "g"}
    assert settle(other, known, "embedding") == {**other, "fingerprint": "g"}
    assert settle(told, None, "embedding") == {**told, "fingerprint": "h"}
    kept = {name: known[name] for name in ("perceptual_hash", "embedding", "fingerprint")}
    untold = ("perceptual_hash", "perceptual_hash_quality", "embedding")
    assert settle({"image_score": 0.5}, known, *untold) == {"image_score": 0.5, **kept}


def test_content_is_known_by_the_fingerprint_of_before() -> None:
    content = "0" * 64
    known = {"perceptual_hash": "h", "perceptual_hash_quality": 49, "fingerprint": f"{CONTENT}{content}/ab"}
    flat = {"perceptual_hash": "h", "perceptual_hash_quality": 49}
    assert settle(flat, known) == {**flat, "fingerprint": CONTENT + content}
    assert settle({**flat, "content_hash": "c"}, known) == {**flat, "fingerprint": f"{CONTENT}c"}
    assert settle({**flat, "perceptual_hash": "g"}, known) == {**flat, "perceptual_hash": "g"}
    assert settle(flat, {**known, "fingerprint": "h"}) == flat
