"""Faces of real pictures: found whatever the picture's size and way up, the same person the same, quality falling."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageOps
from pyarrow import fs

from schemas.errors import SourceError
from schemas.figures import MIN_QUALITY
from tests.transforms.pictures.real_faces import GROUP, MAN, PUMPKIN, colours, needs_faces, yunet_sface
from transforms.pictures.faces import FaceFinder
from transforms.pictures.files import PICTURE_SCHEMA, Reading, read_picture
from transforms.pictures.pixels import PixelReader

pytestmark = [needs_faces, pytest.mark.long]
Face = dict[str, Any]


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    with pytest.MonkeyPatch.context() as patch:
        return FaceFinder(yunet_sface(patch))


@pytest.fixture(scope="module")
def man() -> Image.Image:
    """The man with room about him, his face 110 pixels wide."""
    picture = colours(MAN)
    return picture.resize((picture.width * 110 // 69, picture.height * 110 // 69), Image.Resampling.LANCZOS)


def read(finder: FaceFinder, path: Path) -> dict[str, Any]:
    """What reading a file gives."""
    with PixelReader() as pixels:
        reading = Reading(faces=finder.recipe)
        return read_picture(fs.LocalFileSystem(), str(path), str(path), pixels=pixels, finder=finder, reading=reading)


def overlap(one: Face, other: Face) -> float:
    """Intersection over union of two boxes."""
    a, b = one["boundary"], other["boundary"]
    across = min(a["left"] + a["width"], b["left"] + b["width"]) - max(a["left"], b["left"])
    down = min(a["top"] + a["height"], b["top"] + b["height"]) - max(a["top"], b["top"])
    common = max(0, across) * max(0, down)
    return float(common / (a["width"] * a["height"] + b["width"] * b["height"] - common))


def cosine(one: Face, other: Face) -> float:
    return float(np.dot(one["embedding"], other["embedding"]))


def test_a_face_has_what_its_row_has(finder: FaceFinder) -> None:
    (face,) = finder.find(colours(MAN))
    assert face["face_quality"] > 0.9
    assert len(face["embedding"]) == 128
    assert np.linalg.norm(face["embedding"]) == pytest.approx(1, abs=1e-5)
    assert all(abs(angle) < 15 for angle in face["head_pose"].values())
    assert all(abs(face["boundary"][side] - at) <= 3 for side, at in {"left": 67, "top": 52, "width": 69}.items())


def test_mirrored_and_enlarged_a_face_is_the_same_person_s(finder: FaceFinder, man: Image.Image) -> None:
    (face,) = finder.find(man)
    (mirrored,) = finder.find(ImageOps.mirror(man))
    (large,) = finder.find(man.resize((man.width * 9, man.height * 9), Image.Resampling.BICUBIC))
    strangers = finder.find(colours(GROUP))
    assert cosine(face, mirrored) > 0.8
    assert mirrored["head_pose"]["yaw"] == pytest.approx(-face["head_pose"]["yaw"], abs=4)
    assert cosine(face, large) > 0.8
    assert large["boundary"]["width"] == pytest.approx(9 * face["boundary"]["width"], rel=0.1)
    assert max(cosine(face, other) for other in strangers) < 0.363


def test_heads_that_are_turned_away_found_nobody(finder: FaceFinder) -> None:
    faces = finder.find(colours(GROUP))
    assert len(faces) == 4
    good = [face for face in faces if face["face_quality"] > MIN_QUALITY]
    assert [abs(face["head_pose"]["yaw"]) < 30 for face in good] == [True]
    assert max(abs(face["head_pose"]["yaw"]) for face in faces) > 60
    assert [face for face in finder.find(colours(PUMPKIN)) if face["face_quality"] > MIN_QUALITY] == []


def blur(man: Image.Image, box: tuple[int, ...]) -> Iterator[Image.Image]:
    yield from (man.filter(ImageFilter.GaussianBlur(radius)) for radius in (0, 1, 2, 3, 4, 6))


def shrink(man: Image.Image, box: tuple[int, ...]) -> Iterator[Image.Image]:
    for share in (1, 0.7, 0.5, 0.35, 0.25, 0.15):
        yield man.resize((int(man.width * share), int(man.height * share)), Image.Resampling.LANCZOS)


def compress(man: Image.Image, box: tuple[int, ...]) -> Iterator[Image.Image]:
    for quality in (95, 70, 40, 20, 8, 2):
        packed = io.BytesIO()
        man.save(packed, "JPEG", quality=quality)
        yield Image.open(packed).convert("RGB")


def mask(man: Image.Image, box: tuple[int, ...]) -> Iterator[Image.Image]:
    left, top, right, bottom = box
    for share in (0, 0.1, 0.2, 0.3, 0.45, 0.6):
        yield covered(man, (left, bottom - round(share * (bottom - top)), right, bottom))


def blindfold(man: Image.Image, box: tuple[int, ...]) -> Iterator[Image.Image]:
    left, top, right, bottom = box
    for share in (0, 0.1, 0.2, 0.3, 0.45, 0.6):
        yield covered(man, (left, top, right, top + round(share * (bottom - top))))


def covered(man: Image.Image, box: tuple[int, ...]) -> Image.Image:
    copy = man.copy()
    ImageDraw.Draw(copy).rectangle(box, fill=(120, 140, 160))
    return copy


@pytest.mark.parametrize("spoil", [blur, shrink, compress, mask, blindfold])
def test_quality_falls_with_what_spoils_a_face(
    finder: FaceFinder, man: Image.Image, spoil: Callable[..., Iterator[Image.Image]]
) -> None:
    (face,) = finder.find(man)
    sides = face["boundary"]
    box = (sides["left"], sides["top"], sides["left"] + sides["width"], sides["top"] + sides["height"])
    found = [max((f["face_quality"] for f in finder.find(copy)), default=0.0) for copy in spoil(man, box)]
    assert found[0] > MIN_QUALITY + 0.1
    assert found[-1] < 0.2
    assert all(later <= earlier + 0.03 for earlier, later in pairwise(found)), found
    assert sum(quality > MIN_QUALITY for quality in found) <= 5


@pytest.mark.parametrize("orientation", range(2, 9))
def test_boxes_are_of_the_upright_picture(
    finder: FaceFinder, man: Image.Image, tmp_path: Path, orientation: int
) -> None:
    names = ["FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_90", "TRANSVERSE", "ROTATE_270"]
    ways = [Image.Transpose[name] for name in names]
    exif = Image.Exif()
    exif[0x0112] = orientation
    man.transpose(ways[orientation - 2]).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    row = read(finder, tmp_path / "turned.jpg")
    (face,), (upright,) = row["faces"], finder.find(man)
    assert (row["image_width"], row["image_height"]) == man.size
    assert overlap(face, upright) > 0.85
    assert cosine(face, upright) > 0.95


def test_a_face_is_found_in_a_panorama(finder: FaceFinder, man: Image.Image, tmp_path: Path) -> None:
    sky = Image.linear_gradient("L").resize((9000, 900)).convert("RGB")
    sky.paste(man, (7000, 400))
    sky.save(tmp_path / "panorama.jpg", quality=90)
    (face,), (alone,) = read(finder, tmp_path / "panorama.jpg")["faces"], finder.find(man)
    assert face["boundary"]["left"] == pytest.approx(7000 + alone["boundary"]["left"], abs=8)
    assert face["boundary"]["top"] == pytest.approx(400 + alone["boundary"]["top"], abs=8)
    assert cosine(face, alone) > 0.9


def test_broken_and_faceless_pictures_have_no_faces(finder: FaceFinder, man: Image.Image, tmp_path: Path) -> None:
    whole = tmp_path / "man.jpg"
    man.save(whole)
    (tmp_path / "cut.jpg").write_bytes(whole.read_bytes()[:2000])
    (tmp_path / "empty.jpg").write_bytes(b"")
    Image.linear_gradient("L").save(tmp_path / "grey.png")
    Image.new("RGBA", (300, 200), (10, 200, 30, 0)).save(tmp_path / "clear.png")
    Image.new("1", (1, 1)).save(tmp_path / "dot.png")
    rows = {path.name: read(finder, path) for path in sorted(tmp_path.iterdir())}
    assert len(rows["man.jpg"]["faces"]) == 1
    assert rows["cut.jpg"]["faces"] is None
    assert rows["empty.jpg"]["error_code"] == "picture_unreadable"
    assert [rows[name]["faces"] for name in ("grey.png", "clear.png", "dot.png")] == [[], [], []]
    assert {name for name, row in rows.items() if row["faces_model"]} == {"man.jpg", "grey.png", "clear.png", "dot.png"}
    assert set(rows["man.jpg"]) <= set(PICTURE_SCHEMA.names)


def test_a_picture_whose_faces_are_known_is_not_looked_at(finder: FaceFinder, tmp_path: Path) -> None:
    colours(MAN).save(tmp_path / "man.png")
    content = read(finder, tmp_path / "man.png")["content_hash"]
    with PixelReader() as pixels:
        where = (fs.LocalFileSystem(), str(tmp_path / "man.png"), "man")
        known = read_picture(*where, pixels=pixels, finder=finder, faces_known_of=content)
        other = read_picture(*where, pixels=pixels, finder=finder, faces_known_of="0" * 64)
    assert (known["faces"], known["faces_model"]) == (None, None)
    assert len(other["faces"]) == 1


def test_hashes_are_the_same_whether_faces_are_looked_for(finder: FaceFinder) -> None:
    with PixelReader() as pixels:
        for path in (MAN, GROUP):
            with_faces = read(finder, path)
            without = read_picture(fs.LocalFileSystem(), str(path), "p", pixels=pixels)
            one, other = (int(row["perceptual_hash"], 16) for row in (with_faces, without))
            assert (one ^ other).bit_count() <= 4


def test_an_altered_model_is_refused(finder: FaceFinder, tmp_path: Path) -> None:
    recipe = finder.recipe
    altered = tmp_path / "altered.onnx"
    altered.write_bytes(Path(recipe.detector.path).read_bytes() + b"\0")
    with pytest.raises(SourceError, match="is not the model that it should be"):
        FaceFinder(replace(recipe, detector=replace(recipe.detector, path=str(altered))))
