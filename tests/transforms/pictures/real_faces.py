"""Real faces to test with: pictures of `shared/data/photos`, and the models of `shared/models`."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from transforms.pictures.face_networks import DetectorRecipe, EmbedderRecipe, FaceRecipe

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


def yunet_sface() -> FaceRecipe:
    """The default family, from the shared folder."""
    from jobs.people.face_models import read_family

    family = read_family("yunet-sface")
    detector, embedder, files = family.detector, family.embedder, family.files
    return FaceRecipe(
        family.model,
        DetectorRecipe(
            str(MODELS / files.detector.name),
            files.detector.sha256,
            detector.kind,
            detector.side,
            detector.least_score,
            detector.overlap,
        ),
        EmbedderRecipe(
            str(MODELS / files.embedder.name),
            files.embedder.sha256,
            embedder.colours,
            embedder.mean,
            embedder.deviation,
        ),
        embedder.length,
    )


def colours(path: Path) -> Image.Image:
    """A picture in colour."""
    with Image.open(path) as opened:
        return opened.convert("RGB")
