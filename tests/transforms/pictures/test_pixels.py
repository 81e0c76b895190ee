"""`transforms.pictures.pixels`: what is decoded, how it is turned, and what is left alone."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from PIL import Image

from tests.transforms.pictures.test_perceptual_hashes import PHOTOS, needs_photos, scene
from transforms.pictures import pixels
from transforms.pictures.photos import DECODE_ERRORS, read_photo
from transforms.pictures.pixels import MAX_DECODED_PIXELS, MAX_REDUCED_PIXELS, PixelReader, Pixels

SHAPE = scene(160, 120)


def encoded(kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    SHAPE.convert("RGB").save(out, kind, **options)
    return out.getvalue()


def read(content: bytes, pixels: int | None = None) -> Pixels | None:
    tags = read_photo(io.BytesIO(content), content[:12])
    announced = tags.image_width * tags.image_height if pixels is None else pixels
    with PixelReader() as reader:
        return reader.read(io.BytesIO(content), tags.content_type, size=len(content), pixels=announced)


def alike(found: Pixels | None, expected: Image.Image) -> bool:
    assert found is not None
    assert found.luminance.size == expected.size
    return bool(np.corrcoef(np.asarray(found.luminance).ravel(), np.asarray(expected).ravel())[0, 1] > 0.95)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "GIF", "BMP", "MPO"])
def test_every_format_is_decoded(kind: str) -> None:
    found = read(encoded(kind))
    assert alike(found, SHAPE)
    assert found is not None
    assert (found.jpeg_quality is not None) == (kind in ("JPEG", "MPO"))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_pictures_are_turned_as_displayed(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    turns = [None, 0, 3, 1, 5, 4, 6, 2]  # of Image.Transpose, per orientation
    turn = turns[orientation - 1]
    assert alike(read(encoded(kind, exif=exif)), SHAPE if turn is None else SHAPE.transpose(Image.Transpose(turn)))


@needs_photos
def test_orientation_samples_look_the_same() -> None:
    for shape in ("landscape", "portrait"):
        found = [
            read((PHOTOS / f"exif-samples/jpg/orientation/{shape}_{turn}.jpg").read_bytes()) for turn in range(1, 9)
        ]
        assert found[0] is not None
        assert all(alike(one, found[0].luminance) for one in found)


@pytest.mark.long
@needs_photos
def test_heic_is_turned_as_displayed() -> None:
    found = read((PHOTOS / "exif-samples/heic/mobile/iphone_13_pro_max.HEIC").read_bytes())
    assert found is not None
    assert found.luminance.size == (605, 807)  # 3024 x 4032, by 5
    assert found.jpeg_quality is None


def test_animations_are_their_first_frame() -> None:
    out = io.BytesIO()
    SHAPE.save(out, "GIF", save_all=True, append_images=[Image.new("L", SHAPE.size)])
    assert alike(read(out.getvalue()), SHAPE)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "BMP"])
def test_pixels_cut_short_are_an_error(kind: str) -> None:
    content = encoded(kind)
    with pytest.raises(DECODE_ERRORS):
        read(content[: len(content) * 2 // 3])


def test_what_is_too_large_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    baseline, progressive, png = encoded("JPEG"), encoded("JPEG", progressive=True), encoded("PNG")
    assert read(baseline, MAX_DECODED_PIXELS + 1) is not None
    assert [read(one, MAX_DECODED_PIXELS + 1) for one in (progressive, png)] == [None, None]
    assert read(baseline, MAX_REDUCED_PIXELS + 1) is None
    with PixelReader() as reader:
        assert reader.read(io.BytesIO(), "image/heic", size=9, pixels=MAX_DECODED_PIXELS + 1) is None
    monkeypatch.setattr(pixels, "MAX_DECODED_BYTES", len(png) - 1)
    assert read(png) is None


def test_avif_without_a_decoder_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    content = encoded("AVIF")
    monkeypatch.setattr(pixels.features, "check", lambda name: False)
    with PixelReader() as reader:
        assert reader.read(io.BytesIO(content), "image/avif", size=len(content), pixels=math.prod(SHAPE.size)) is None
