"""Real faces to test with: pictures of `shared/data/photos`, and the models of `shared/models`."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from jobs.people.face_models import DEFAULT_FAMILY
from jobs.people.finding import recipe_here
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
        return recipe_here(DEFAULT_FAMILY)


def colours(path: Path) -> Image.Image:
    """A picture in colour."""
    with Image.open(path) as opened:
        return opened.convert("RGB")
