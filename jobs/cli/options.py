"""The options that every verb shares, and how they, a YAML file and --set become one checked configuration."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import click
import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator

from catalog.commands.arguments import pairs
from catalog.commands.options import lake_options
from catalog.webhooks import Webhook
from jobs.runtime.conf import CONF
from schemas.errors import UsageError
from schemas.lake import check_name
from schemas.locations import lake_root, source_uri

CONFIG_HELP = (
    "YAML file with the job's configuration; conf/NAME.yaml is LakeAlbum's own, unless there is such a file here."
)
Config = TypeVar("Config", bound="JobConfig")


class JobConfig(BaseModel):
    """What every job can be asked. Each job's own model extends it; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lake: str = Field(min_length=1, description="root of the lake: a directory or an object-store URI")
    project: str = Field(default="default", description="project: the upper level of the namespace")
    dataset: tuple[str, ...] = Field(default=(), description="datasets; none means all of the project")
    run_id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.:-]{1,128}$", description="id of the run")
    dry_run: bool = Field(default=False, description="compute and count, write nothing")
    driver_rows: int = Field(
        default=1_000_000, ge=0, description="rows below which the driver's process works by itself, without Spark"
    )
    bucket_rows: int = Field(
        default=4_000_000, ge=0, description="rows of a bucket below which trips and events are computed by bucket"
    )
    user_data: str | None = Field(default=None, description="the caller's data, kept with the task, up to 2,048 bytes")
    tag: dict[str, str] = Field(default={}, description="the caller's tags, kept with the task")

    notify: str | None = Field(
        default=None, exclude=True, description="where the task's end is told to: https://host/path"
    )

    @field_validator("lake")
    @classmethod
    def _lake_is_a_root(cls, value: str) -> str:
        return lake_root(value)

    @field_validator("project")
    @classmethod
    def _project_is_a_name(cls, value: str) -> str:
        return check_name("project", value)

    @field_validator("dataset")
    @classmethod
    def _datasets_are_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted({check_name("dataset", name) for name in value}))

    @field_validator("notify")
    @classmethod
    def _may_be_sent_to(cls, value: str | None) -> str | None:
        if value is not None:
            Webhook.from_environment().guard.check(value)
        return value

    @field_validator("user_data")
    @classmethod
    def _user_data_fits(cls, value: str | None) -> str | None:
        if value is not None and len(value.encode()) > 2048:
            raise ValueError(f"has {len(value.encode()):,} bytes; up to 2,048 are accepted")
        return value


Sources = Annotated[tuple[str, ...], AfterValidator(lambda uris: tuple(map(source_uri, uris)))]
"""Files, folders or tables that a job reads."""


def job_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that all jobs share; the command gets its own options plus `given`, a dict of the shared ones."""

    @functools.wraps(command)
    def with_shared(*args: Any, **kwargs: Any) -> Any:
        names = ("lake", "project", "dataset", "config", "set", "run_id", "dry_run", "user_data", "tag", "notify")
        given = {name: kwargs.pop(name) for name in names}
        return command(*args, given=given, **kwargs)

    shared = with_shared
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document."),
        click.option("--tag", multiple=True, metavar="KEY=VALUE", help="Tag of the task; repeatable."),
        click.option("--notify", metavar="URL", help="Tell the end of the task to this address, signed."),
        click.option("--user-data", help="Data kept with the task, up to 2,048 bytes."),
        click.option("--dry-run", is_flag=True, default=None, help="Compute and count, write nothing."),
        click.option("--run-id", envvar="LAKEALBUM_RUN_ID", help="Id of the run, its own.  [default: made up]"),
        click.option("--set", multiple=True, metavar="KEY=VALUE", help="Set one key of the configuration."),
        click.option("--config", type=click.Path(path_type=Path), help=CONFIG_HELP),
    ):
        shared = option(shared)
    return lake_options(shared)


def build_config(model: type[Config], given: dict[str, Any], own: dict[str, Any]) -> Config:
    """The job's configuration: the YAML file, over it --set, over it the options on the command line.

    Raises UsageError naming each key that is wrong, its value, and what is accepted.
    """
    values = _read_yaml(given["config"]) if given["config"] else {}
    for key, value in pairs("--set", given["set"]).items():
        values[key.replace("-", "_")] = yaml.safe_load(value)
    shared = ("lake", "project", "dataset", "run_id", "dry_run", "user_data", "notify")
    explicit = {**own, **{name: given[name] for name in shared}}
    explicit["tag"] = pairs("--tag", given["tag"]) or None
    values.update({key: value for key, value in explicit.items() if value not in (None, ())})
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise UsageError(_explain(error, model)) from None


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(_own_or_packaged(path).read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError) as error:
        raise UsageError(f"--config {os.fspath(path)!r} cannot be read: {error}") from None
    if not isinstance(values, dict):
        raise UsageError(f"--config {os.fspath(path)!r} holds a {type(values).__name__}; keys and values are accepted")
    return {str(key).replace("-", "_"): value for key, value in values.items()}


def _own_or_packaged(path: Path) -> Path:
    """The file itself; where there is none and it reads conf/..., that of the package."""
    packaged = CONF.parent / path
    return packaged if path.parts[:1] == (CONF.name,) and not path.exists() and packaged.exists() else path


def _explain(error: ValidationError, model: type[BaseModel]) -> str:
    lines = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"]) or "configuration"
        if item["type"] == "extra_forbidden":
            lines.append(f"{key}: no such key; accepted are {', '.join(sorted(model.model_fields))}")
        elif item["type"] == "missing":
            lines.append(f"{key}: must be given, as --{key.replace('_', '-')} or in the configuration")
        else:
            message = item["msg"].removeprefix("Value error, ")
            lines.append(f"{key}: {json.dumps(item['input'], default=str)} {message[:1].lower()}{message[1:]}")
    return "\n".join(lines)
