"""What `index` can be asked."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from jobs.cli.options import JobConfig, Sources
from jobs.people.face_models import read_family
from jobs.sources.sources import Format
from schemas.errors import UsageError
from schemas.settings import LakeSettings
from transforms.pictures.evidence import Prefer
from transforms.pictures.face_networks import Device
from transforms.pictures.files import Reading


class IndexFiles(JobConfig):
    """What `index` can be asked."""

    source: Sources = Field(default=(), description="files, directories or tables to read")
    rows: Literal["files", "figures"] = Field(default="files", description="what a row of the source is")
    format: Format | None = Field(default=None, description="format of the source; detected where not given")
    map: dict[str, str] = Field(default={}, description="source column -> field of the lake, dots reach into structs")
    time_is: Literal["offset", "instant", "local"] | None = Field(default=None, description="what times mean")
    media_type: Literal["image", "video"] | None = Field(default=None, description="what files are that do not tell")
    hashes: bool = Field(default=True, description="read files whole: content hashes, thumbnails, image scores")
    turned: bool = Field(default=False, description="also hash the mirrored and rotated forms of photos")
    name_times: bool = Field(default=True, description="take dates from names of photos, where nothing else tells")
    prefer: Prefer = Field(default="embedded", description="whom to believe: the file, or Google Takeout's sidecar")
    faces: bool | None = Field(default=None, description="find faces; as the dataset has it where not given")
    face_models: str | None = Field(default=None, description="by which models; as the dataset has it")
    faces_device: Device = Field(default="cpu", description="where the models run: cpu or cuda")
    faces_threads: int = Field(default=1, ge=1, le=64, description="threads of a task that looks for faces")
    again: bool = Field(default=False, description="find faces in pictures that are there, where the models' are not")
    buckets: int = Field(default=16, ge=16, le=1024, description="partitions of a lake that is made now")
    language: str = Field(default="en", description="language of addresses in a lake that is made now")
    time_zone: str = Field(default="UTC", description="zone of instants that lie nowhere, in a lake made now")
    nearest_limit_m: int = Field(default=LakeSettings.nearest_limit_m, description="limit, in a lake made now")

    @model_validator(mode="after")
    def _turned_forms_need_pixels(self) -> IndexFiles:
        if self.turned and not self.hashes:
            raise ValueError("turned forms are hashed with the others: --turned without --no-hashes is accepted")
        return self

    @model_validator(mode="after")
    def _faces_need_pictures(self) -> IndexFiles:
        if not (self.source or self.again or self.faces is False):
            raise ValueError("a SOURCE must be given; --again and --no-faces may stand without one")
        if (self.faces or self.again) and not self.hashes:
            raise ValueError("faces need whole files: --faces and --again without --no-hashes are accepted")
        if (self.faces or self.again) and self.rows == "figures":
            raise ValueError("rows that are figures have no pictures: --faces and --again are for --rows files")
        if self.again and self.faces is False:
            raise ValueError("--again is about faces: it is not accepted with --no-faces")
        if self.face_models is not None:
            read_family(self.face_models)
        return self

    @property
    def only_dataset(self) -> str | None:
        """The dataset of rows that name none."""
        if len(self.dataset) > 1:
            raise UsageError(f"--dataset: one is accepted by index, not {len(self.dataset)}")
        return self.dataset[0] if self.dataset else None

    @property
    def reading(self) -> Reading:
        """How photos are read."""
        return Reading(self.hashes, self.turned, self.name_times, self.prefer)

    @property
    def settings(self) -> LakeSettings:
        """The settings of a lake that is made now."""
        return LakeSettings(self.buckets, self.language, self.time_zone, self.nearest_limit_m)
