"""Aligned thumbnails: edits of a picture agree, other pictures do not."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps
from pyspark.sql import SparkSession

from schemas.file_features import THUMBNAIL_SIDE as SIDE
from transforms.similar_images.alignment import LEAST_AGREEMENT, align_pictures, verify_crops

COUNT = 12


def scene(seed: int) -> Image.Image:
    """A picture of blobs and bars, as unlike others as photographs are."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (360, 240), tuple(rng.integers(0, 256, 3).tolist()))
    draw = ImageDraw.Draw(image)
    for _ in range(25):
        x, y = rng.integers(-40, 360), rng.integers(-40, 240)
        box = (int(x), int(y), int(x + rng.integers(15, 140)), int(y + rng.integers(15, 140)))
        (draw.ellipse if rng.random() < 0.5 else draw.rectangle)(box, fill=tuple(rng.integers(0, 256, 3).tolist()))
    return image.filter(ImageFilter.GaussianBlur(2))


def thumbnail(image: Image.Image) -> np.ndarray:
    """uint8 (1024,): luminances of the whole picture."""
    return np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)).reshape(-1)


def captioned(image: Image.Image) -> Image.Image:
    """With a dark bar over a corner."""
    image = image.copy()
    ImageDraw.Draw(image).rectangle((0, 210, 170, 240), fill=(20, 20, 20))
    return image


EDITS = {
    "same": (lambda image: image, 1.0),
    "crop": (lambda image: image.crop((25, 5, 350, 225)), 0.95),
    "border": (lambda image: ImageOps.expand(image, 8, "white"), 1.05),
    "tilt": (lambda image: image.rotate(2, Image.Resampling.BICUBIC), 1.0),
    "caption": (captioned, 1.0),
    "dark": (lambda image: ImageEnhance.Brightness(image).enhance(0.6), 1.0),
    "grey": (lambda image: ImageEnhance.Color(image).enhance(0.0), 1.0),
}


@pytest.mark.parametrize("edit", EDITS)
def test_edits_agree(edit: str) -> None:
    change, scale = EDITS[edit]
    originals = [scene(seed) for seed in range(COUNT)]
    left = np.stack([thumbnail(image) for image in originals])
    right = np.stack([thumbnail(change(image)) for image in originals])
    agreement = align_pictures(left, right, np.full(COUNT, scale))
    assert (agreement >= LEAST_AGREEMENT).all(), agreement
    assert (agreement <= 1 + 1e-9).all()


def test_strangers_mirrored_and_flat_pictures_do_not() -> None:
    left = np.stack([thumbnail(scene(seed)) for seed in range(COUNT)])
    strangers = np.roll(left, 1, axis=0)
    mirrored = np.stack([thumbnail(ImageOps.mirror(scene(seed))) for seed in range(COUNT)])
    flat = np.full_like(left, 128)
    for right in (strangers, mirrored, flat):
        for scale in (0.9, 1.0, 1.1):
            assert (align_pictures(left, right, np.full(COUNT, scale)) < LEAST_AGREEMENT).all()
    assert np.isfinite(align_pictures(flat, flat, np.ones(COUNT))).all()


def test_candidates_that_agree_are_kept(spark: SparkSession) -> None:
    original, stranger = scene(1), scene(2)
    cropped = bytes(thumbnail(original.crop((10, 10, 350, 230))))
    rows = [
        ("a", bytes(thumbnail(original)), cropped, 1, 0),
        ("b", bytes(thumbnail(stranger)), cropped, 1, 0),
    ]
    frame = spark.createDataFrame(
        rows, "name string, thumbnail binary, other_thumbnail binary, crop int, other_crop int"
    )
    (kept,) = verify_crops(frame).collect()
    assert kept.asDict().keys() == {"name", "similarity"}
    assert kept.name == "a"
    assert LEAST_AGREEMENT <= kept.similarity <= 1
