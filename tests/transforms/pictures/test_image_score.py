"""`transforms.pictures.image_score`: originals before their edits, within the bounds."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from tests.transforms.pictures.test_perceptual_hashes import PHOTOS, needs_photos, scene
from transforms.pictures.image_score import WEIGHTS, image_score, jpeg_quality
from transforms.pictures.photos import read_photo
from transforms.pictures.pixels import PixelReader

Edit = Callable[[Image.Image], Image.Image]
EDITS: dict[str, Edit] = {
    "half": lambda image: image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS),
    "thumb": lambda image: ImageOps.contain(image, (256, 256)),
    "q30": lambda image: image,
    "blur": lambda image: image.filter(ImageFilter.GaussianBlur(max(1, min(image.size) // 250))),
    "enlarged": lambda image: image.resize((image.width // 2, image.height // 2)).resize(image.size),
    "dark": lambda image: ImageEnhance.Brightness(image).enhance(0.7),
    "bright": lambda image: ImageEnhance.Brightness(image).enhance(1.35),
    "flat": lambda image: ImageEnhance.Contrast(image).enhance(0.7),
    "hard": lambda image: ImageEnhance.Contrast(image).enhance(1.4),
}
"""As bench/make_similar.py makes them, which is not part of the project."""


def score(content: bytes) -> float:
    """As `transforms.pictures.files` scores a JPEG."""
    file = io.BytesIO(content)
    tags = read_photo(file, content[:12])
    with PixelReader() as reader:
        size = tags.image_width, tags.image_height
        pixels = reader.read(file, tags.content_type, size=len(content), pixels=math.prod(size))
    assert pixels is not None
    return image_score(
        pixels.luminance,
        width=size[0],
        height=size[1],
        jpeg_quality=pixels.jpeg_quality,
        has_camera=bool(tags.camera_model),
        has_time=any(taken.source.startswith("exif_") for said in tags.said for taken in said.times),
    )


def edited(content: bytes, name: str, quality: int = 88) -> bytes:
    out = io.BytesIO()
    with Image.open(io.BytesIO(content)) as image:
        EDITS[name](ImageOps.exif_transpose(image).convert("RGB")).save(
            out, "JPEG", quality=30 if name == "q30" else quality
        )
    return out.getvalue()


def photos(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (PHOTOS / folder).glob("*.jpg"))


@pytest.mark.long
@needs_photos
def test_originals_are_ahead_of_their_edits() -> None:
    originals = [path.read_bytes() for path in photos("ukbench/base_images", "exif-samples/jpg/gps")]
    originals += [path.read_bytes() for path in photos("flight")[:2]]
    best = dict.fromkeys(EDITS, 0)
    for original in originals:
        own = score(original)
        for name in EDITS:
            best[name] += own > score(edited(original, name))
    assert len(originals) >= 20
    assert {name: won for name, won in best.items() if won < 0.95 * len(originals)} == {}


@pytest.mark.long
@needs_photos
def test_of_a_burst_the_blurred_one_is_last() -> None:
    frames = [path.read_bytes() for path in photos("flight")]
    scores = [score(frame) for frame in frames]
    with Image.open(io.BytesIO(frames[5])) as image:
        out = io.BytesIO()
        image.filter(ImageFilter.GaussianBlur(8)).save(out, "JPEG", quality=95, exif=image.getexif())
    assert len(scores) == 10
    assert all(0 <= one <= 1 for one in scores)
    assert score(out.getvalue()) < min(scores)


def test_each_measure_counts() -> None:
    picture = scene(1024, 768)
    facts = {"width": 4032, "height": 3024, "jpeg_quality": 95.0, "has_camera": True, "has_time": True}

    def scored(luminance: Image.Image = picture, **changed: float | None) -> float:
        return image_score(luminance, **(facts | changed))  # type: ignore[arg-type]

    assert scored(width=64, height=64) == pytest.approx(scored() - WEIGHTS["resolution"])
    assert scored(width=40_320) == scored()
    assert scored(has_camera=False) == pytest.approx(scored() - WEIGHTS["originality"] / 4)
    assert scored(has_time=False) == pytest.approx(scored() - WEIGHTS["originality"] / 4)
    assert scored(jpeg_quality=20) == pytest.approx(scored() - WEIGHTS["originality"] / 2)
    assert scored(jpeg_quality=None) == scored()
    assert scored(picture.filter(ImageFilter.GaussianBlur(3))) < scored() - 0.01
    assert scored(picture.point([min(255, level * 2) for level in range(256)])) < scored() - 0.01
    assert sum(WEIGHTS.values()) == pytest.approx(1)


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3, 5), (4, 4), (3000, 40)])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_any_picture_has_a_score(size: tuple[int, int], level: int) -> None:
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, size[::-1], np.uint8))
    for picture, quality, told in ((Image.new("L", size, level), None, False), (noise, 1.0, True)):
        facts = {"jpeg_quality": quality, "has_camera": told, "has_time": told}
        assert 0 <= image_score(picture, width=size[0], height=size[1], **facts) <= 1  # type: ignore[arg-type]


@pytest.mark.parametrize("quality", [20, 30, 50, 75, 88, 95])
def test_the_quality_of_a_jpeg_is_read_off_its_table(quality: int) -> None:
    out = io.BytesIO()
    Image.new("RGB", (16, 16)).save(out, "JPEG", quality=quality)
    with Image.open(out) as image:
        assert jpeg_quality(image.quantization[0]) == pytest.approx(quality, abs=2)  # type: ignore[attr-defined]
