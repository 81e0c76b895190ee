"""Putting the files of face models where this machine keeps them: fetched or copied, checked, never half."""

from __future__ import annotations

import hashlib
import os
import tempfile
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import pyarrow as pa

from jobs.people.face_models import FaceModel, ModelFile, model_folder, state_of
from schemas.errors import SourceError
from transforms.pictures.locations import is_local, local_path, resolve

_PIECE = 1 << 20
_PATIENCE = 60.0


def install(model: FaceModel, source: str | None = None) -> list[Path]:
    """Installs the files of a family that are missing or altered, and returns their paths.

    They come from `source`, a folder or address that holds them under their names, else from where their makers publish
    them. Raises SourceError where one can't be had, or is not the one that the family names.
    """
    folder = model_folder()
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [file for file in model.files.both if state_of(file) != "installed"]
    if source is None and model.archive and wanted:
        with _kept(folder) as archive:
            _fetch(model.archive.url, archive, model.archive.sha256)
            for file in wanted:
                with zipfile.ZipFile(archive) as packed:
                    names = [name for name in packed.namelist() if Path(name).name == file.name]
                    if not names:
                        raise SourceError(f"{model.archive.url} holds no {file.name}")
                    with packed.open(names[0]) as opened, _kept(folder) as path:
                        _copy(opened, path, f"{model.archive.url}, {file.name}", file.sha256)
                        os.replace(path, folder / file.name)
        wanted = []
    for file in wanted:
        with _kept(folder) as path:
            _fetch(_where(file, source), path, file.sha256)
            os.replace(path, folder / file.name)
    return [folder / file.name for file in model.files.both]


def _where(file: ModelFile, source: str | None) -> str:
    if source is not None:
        return f"{source.rstrip('/')}/{file.name}"
    if file.url is None:
        raise SourceError(f"{file.name} is published nowhere by itself: --from DIR|URL says where it is")
    return file.url


def _fetch(address: str, path: Path, sha256: str) -> None:
    """Copies what is at an address to a path, if it is what it should be."""
    try:
        if address.startswith(("http://", "https://")):
            with urllib.request.urlopen(address, timeout=_PATIENCE) as answer:
                _copy(answer, path, address, sha256)
        elif is_local(address):
            with open(local_path(address), "rb") as opened:
                _copy(opened, path, address, sha256)
        else:
            filesystem, place = resolve(address)
            with filesystem.open_input_stream(place) as stream:
                _copy(stream, path, address, sha256)
    except (OSError, pa.ArrowException, ValueError) as error:
        raise SourceError(f"{address} can't be had: {error}; --from DIR|URL takes the files from elsewhere") from error


def _copy(source: IO[bytes], path: Path, name: str, sha256: str) -> None:
    digest = hashlib.sha256()
    with path.open("wb") as target:
        while piece := source.read(_PIECE):
            digest.update(piece)
            target.write(piece)
    if digest.hexdigest() != sha256:
        raise SourceError(
            f"{name} is another file than it should be: its SHA-256 is {digest.hexdigest()}, not {sha256}"
        )


@contextmanager
def _kept(folder: Path) -> Iterator[Path]:
    """A file that is gone afterwards, unless it was given its name."""
    handle, name = tempfile.mkstemp(dir=folder, prefix=".", suffix=".part")
    os.close(handle)
    try:
        yield Path(name)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(name)
