"""`transforms.pictures.luminance`: every kind of picture becomes a grey one."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tests.transforms.pictures.test_perceptual_hashes import scene
from transforms.pictures.luminance import SHORTER_SIDE, reduced_luminance


@pytest.mark.parametrize("mode", ["L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV"])
def test_every_mode_is_converted(mode: str) -> None:
    grey = scene(64, 48)
    found = reduced_luminance(grey.convert("RGB").convert(mode))
    assert (found.mode, found.size) == ("L", (64, 48))
    assert abs(np.asarray(found, int) - np.asarray(grey, int)).max() <= (60 if mode in ("P", "PA") else 2)


def test_modes_that_grey_does_not_become() -> None:
    grey = scene(64, 48)
    lab = Image.merge("LAB", [grey, *[Image.new("L", grey.size, 128)] * 2])
    assert reduced_luminance(lab) == grey
    assert reduced_luminance(grey.convert("1")) == grey.convert("1").convert("L")
    assert reduced_luminance(grey.convert("RGBA").convert("RGBa")) == grey


@pytest.mark.parametrize(("dtype", "scale"), [(np.uint16, 257), (np.int32, 70_000), (np.float32, 1 / 255)])
def test_more_than_eight_bits_are_cut_or_stretched(dtype: type, scale: float) -> None:
    grey = np.asarray(scene(64, 48))
    found = np.asarray(reduced_luminance(Image.fromarray((grey.astype(float) * scale).astype(dtype))), int)
    assert abs(found - grey).max() <= 1
    hostile = np.full((8, 8), np.nan, np.float32)
    assert not np.asarray(reduced_luminance(Image.fromarray(hostile))).any()


def test_transparency_is_white() -> None:
    clear = Image.new("RGBA", (40, 30), (10, 20, 30, 0))
    assert reduced_luminance(clear).getextrema() == (255, 255)
    palette = Image.new("P", (40, 30), 3)
    palette.info["transparency"] = 3
    assert reduced_luminance(palette).getextrema() == (255, 255)


@pytest.mark.long
def test_jpeg_is_decoded_small_and_others_reduced() -> None:
    jpeg, png = io.BytesIO(), io.BytesIO()
    colour = Image.merge("RGB", [scene(2048, 1536, seed) for seed in range(3)])
    colour.save(jpeg, "JPEG", quality=95)
    colour.save(png, "PNG", compress_level=1)
    with Image.open(jpeg) as image:
        by_draft = reduced_luminance(image)
        assert image.size == by_draft.size == (1024, 768)
    with Image.open(png) as image:
        by_average = reduced_luminance(image)
    assert by_average.size == (683, 512)
    assert min(by_draft.size) >= SHORTER_SIDE
    small = [np.asarray(grey.resize((64, 64), Image.Resampling.BOX), int) for grey in (by_draft, by_average)]
    assert abs(small[0] - small[1]).max() <= 3
