"""Real faces to test with: pictures of `shared/data/photos`, and the models of `shared/models`."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, ImageEnhance, ImageOps

from jobs.people.face_models import DEFAULT_FAMILY
from jobs.people.finding import recipe
from transforms.pictures.face_networks import FaceRecipe

SHARED = Path(__file__).parents[3].parent / "shared"
MODELS = SHARED / "models"
PHOTOS = SHARED / "data" / "photos" / "exif-samples"
MAN = PHOTOS / "tiff" / "DudleyLeavittUtah.tiff"
"""One man of the nineteenth century, whose face is 69 pixels wide."""
GROUP = PHOTOS / "jpg" / "exif-org" / "kodak-dc210.jpg"
"""Four faces, of which three are turned away."""
PUMPKIN = PHOTOS / "jpg" / "exif-org" / "sony-powershota5.jpg"
"""A carved pumpkin with glasses."""

needs_models = pytest.mark.skipif(not MODELS.is_dir(), reason="the face models of ../shared/models are not here")
needs_faces = pytest.mark.skipif(
    not (MODELS.is_dir() and PHOTOS.is_dir()), reason="../shared has no face models, or no photos, here"
)


def yunet_sface(monkeypatch: pytest.MonkeyPatch) -> FaceRecipe:
    """The default family, from the shared folder."""
    with monkeypatch.context() as here:
        here.setenv("LAKEALBUM_MODELS", str(MODELS))
        return recipe(DEFAULT_FAMILY)


def colours(path: Path) -> Image.Image:
    """A picture in colour."""
    with Image.open(path) as opened:
        return opened.convert("RGB")


def save_pictures(folder: Path) -> None:
    """A man thrice, upright, mirrored and turned by a little, and four people."""
    man = colours(MAN)
    man = man.resize((man.width * 110 // 69, man.height * 110 // 69), Image.Resampling.LANCZOS)
    man.save(folder / "man.jpg", quality=92)
    ImageOps.mirror(man).crop((0, 0, 300, 390)).save(folder / "mirrored.jpg", quality=92)
    ImageEnhance.Brightness(man.rotate(6, Image.Resampling.BICUBIC)).enhance(1.15).save(folder / "bright.png")
    (folder / "group.jpg").write_bytes(GROUP.read_bytes())
