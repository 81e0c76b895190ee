"""Families of face models: what `conf/face-models/*.yaml` says of each, and where their files lie on this machine."""

from __future__ import annotations

import hashlib
import os
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from jobs.runtime.conf import CONF
from schemas.errors import UsageError
from transforms.people.grouping import Profile

DEFAULT_FAMILY = "yunet-sface"
FAMILIES = CONF / "face-models"

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelFile(_Part):
    """A file of a family. `url` is where its makers publish it, null where it comes in an archive."""

    name: str
    bytes: int
    sha256: Sha256
    url: str | None = None


class Archive(_Part):
    """A ZIP archive in which the files of a family are published."""

    url: str
    sha256: Sha256


class ModelFiles(_Part):
    """The two networks of a family."""

    detector: ModelFile
    embedder: ModelFile

    @property
    def both(self) -> tuple[ModelFile, ModelFile]:
        """The detector's file and the embedder's."""
        return self.detector, self.embedder


class DetectorForm(_Part):
    """How the detector is asked, and its answers read."""

    kind: Literal["yunet", "scrfd"]
    side: int = Field(ge=64, le=4096)
    least_score: float = Field(gt=0, lt=1)
    overlap: float = Field(gt=0, lt=1)


class EmbedderForm(_Part):
    """How the embedder is asked: (value - mean) / deviation of each colour.

    `length`: lengths of the vectors of faces that tell nothing, and of clear ones.
    """

    colours: Literal["rgb", "bgr"]
    mean: float
    deviation: float = Field(gt=0)
    dimensions: int = Field(gt=0)
    length: tuple[float, float]


class FaceModel(_Part):
    """A family of face models. `terms` are to be accepted before its files are fetched."""

    name: str = Field(pattern="^[a-z0-9][a-z0-9-]*$")
    version: int = Field(ge=1)
    title: str
    licence: str
    terms: str | None = None
    archive: Archive | None = None
    files: ModelFiles
    detector: DetectorForm
    embedder: EmbedderForm
    profile: Profile

    @property
    def model(self) -> str:
        """What its faces carry as `figures.model`."""
        return f"{self.name}/{self.version}"


def family_names() -> list[str]:
    """The names of the families there are."""
    return sorted(path.stem for path in FAMILIES.glob("*.yaml"))


@cache
def read_family(name: str) -> FaceModel:
    """The family of a name. Raises UsageError naming those that are accepted."""
    if name not in family_names():
        raise UsageError(f"face models {name!r}: {', '.join(family_names())} are accepted")
    values = yaml.safe_load((FAMILIES / f"{name}.yaml").read_text(encoding="utf-8"))
    try:
        return FaceModel.model_validate(values)
    except ValidationError as error:
        raise UsageError(f"{FAMILIES / name}.yaml: {error}") from None


def model_folder() -> Path:
    """Where this machine keeps models: LAKEALBUM_MODELS, or lakealbum/models in the user's cache."""
    if named := os.environ.get("LAKEALBUM_MODELS"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lakealbum" / "models"


def state_of(file: ModelFile) -> Literal["installed", "missing", "altered"]:
    """Whether a file is there, and the one that it should be."""
    path = model_folder() / file.name
    if not path.is_file():
        return "missing"
    return "installed" if _is_right(path, file) else "altered"


def installed(family: str, file: ModelFile) -> Path:
    """The path of a file of a family. Raises UsageError where it is missing, or not the one that it should be."""
    path = model_folder() / file.name
    match state_of(file):
        case "missing":
            raise UsageError(
                f"{file.name} of the face models {family} is not in {model_folder()}: "
                f"`lakealbum models install {family}` puts it there"
            )
        case "altered":
            raise UsageError(
                f"{path} is not the file that the face models {family} name: its SHA-256 is not {file.sha256}; "
                f"`lakealbum models install {family}` puts the right one there"
            )
    return path


def check_installed(family: str) -> None:
    """Raises UsageError where a file of a family is missing or altered, or the runtime is not there."""
    for file in read_family(family).files.both:
        installed(family, file)
    if find_spec("onnxruntime") is None:
        raise UsageError("faces need ONNX Runtime: pip install 'lakealbum[faces]'")


def _is_right(path: Path, file: ModelFile) -> bool:
    if path.stat().st_size != file.bytes:
        return False
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest() == file.sha256


def profile_of(model: str) -> Profile | None:
    """The profile of clustering for faces that carry `model` (family/version); None for a model that is not ours."""
    family = model.partition("/")[0]
    return read_family(family).profile if family in family_names() else None
