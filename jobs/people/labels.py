"""Labelled faces: what a file says about faces in the lake, and what the lake knows of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from catalog.lake import Lake, Scope
from catalog.sql import relation
from schemas.errors import NotFound, UsageError
from schemas.figures import is_good_sql
from transforms.people.calibration import Library, group_pairs

MOST_FACES = 20_000
"""Faces that a profile is fitted to: minutes, with the cross-validation."""

_OF_PEOPLE = {"figure_id", "person"}
_OF_PAIRS = {"figure_id", "other_figure_id", "same"}
_DATASET = "dataset_name"
_AT_ONCE = 5_000
"""Faces that are looked up by one statement."""


def read_libraries(lake: Lake, scope: Scope, path: Path) -> list[Library]:
    """The faces that a file of labels names, as libraries: one per dataset, by name.

    Raises UsageError where the file says nothing, or contradicts itself, NotFound where the lake lacks a face.
    """
    labels = _read_labels(path)
    faces = _read_faces(lake, scope, labels, path)
    if _DATASET not in labels.column_names:
        labels = labels.append_column(_DATASET, _only_dataset(faces, labels["figure_id"]))
    libraries = []
    for dataset in pc.unique(labels[_DATASET]).sort().to_pylist():
        ours, said = (table.filter(pc.equal(table[_DATASET], dataset)) for table in (faces, labels))
        libraries.append(_library(ours, said, f"{path}, dataset {dataset!r}" if dataset else str(path)))
    lengths = {library.embeddings.shape[1] for library in libraries if len(library.embeddings)}
    if len(lengths) > 1:
        raise _several_models(str(path), lengths)
    return libraries


def _read_labels(path: Path) -> pa.Table:
    """The labels: texts, none empty but persons, and `same` as a truth value."""
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise UsageError(f"{path} ends in {path.suffix!r}; .csv and .parquet are accepted")
    try:
        if path.suffix.lower() == ".csv":
            texts = dict.fromkeys((*_OF_PEOPLE, *_OF_PAIRS, _DATASET), pa.string())
            table = pyarrow.csv.read_csv(path, convert_options=pyarrow.csv.ConvertOptions(column_types=texts))
        else:
            table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    names = set(table.column_names)
    found = [columns for columns in (_OF_PEOPLE, _OF_PAIRS) if columns <= names]
    if len(found) != 1:
        raise UsageError(
            f"{path} has the columns {', '.join(table.column_names)}; figure_id and person, or figure_id, "
            f"other_figure_id and same, are accepted, and dataset_name"
        )
    kept = [name for name in table.column_names if name in found[0] | {_DATASET}]
    try:
        table = pa.table({name: table[name].cast(pa.string()) for name in kept})
        for name in (each for each in kept if each != "person"):
            if missing := pc.sum(pc.fill_null(pc.equal(table[name], ""), True)).as_py():
                raise UsageError(f"{path}: {name} is empty in {missing:,} of {len(table):,} rows; only person may be")
        if "same" in kept:
            same = pc.utf8_lower(table["same"]).cast(pa.bool_())
            table = table.set_column(kept.index("same"), "same", same)
    except pa.ArrowException as error:
        raise UsageError(f"{path} holds values that are no labels: {error}; same is true or false") from None
    if not len(table):
        raise UsageError(f"{path} has no rows")
    return table


def _read_faces(lake: Lake, scope: Scope, labels: pa.Table, path: Path) -> pa.Table:
    """The rows of `figures` that labels name, as far as they are there."""
    columns = [labels[name] for name in ("figure_id", "other_figure_id") if name in labels.column_names]
    named = pc.unique(pa.chunked_array([chunk for column in columns for chunk in column.chunks]))
    if len(named) > MOST_FACES:
        raise UsageError(
            f"{path} labels {len(named):,} faces; up to {MOST_FACES:,} are accepted: some of the people do"
        )
    schema = pa.schema(
        {
            _DATASET: pa.string(),
            "figure_id": pa.string(),
            "uri": pa.string(),
            "is_good": pa.bool_(),
            "face_quality": pa.float64(),
            "embedding": pa.list_(pa.float32()),
        }
    )
    batches: list[pa.RecordBatch] = []
    for start in range(0, len(named), _AT_ONCE):
        wanted = relation("wanted", ("id",), ([each] for each in named[start : start + _AT_ONCE].to_pylist()))
        statement = (
            f"SELECT dataset_name, figure_id, uri, coalesce({is_good_sql()}, FALSE) AS is_good, "
            f"face_quality, embedding FROM figures JOIN {wanted} ON figure_id = id WHERE {scope.condition(lake)}"
        )
        batches += lake.batches(statement, "figures")
    if not batches:
        scope.check(lake)
        return schema.empty_table()
    return pa.Table.from_batches(batches).cast(schema)


def _only_dataset(faces: pa.Table, figure_ids: pa.ChunkedArray) -> pa.Array:
    """The dataset of each face, which the labels do not tell; '' of one that is not there."""
    counts = pc.value_counts(faces["figure_id"])
    if (twice := counts.filter(pc.greater(counts.field("counts"), 1)).field("values")) and len(twice):
        raise UsageError(
            f"{twice[0].as_py()!r} is a face in several datasets: label it with a column dataset_name, or choose "
            f"one with --dataset"
        )
    at = pc.index_in(figure_ids.combine_chunks(), faces["figure_id"].combine_chunks())
    return pc.fill_null(faces[_DATASET].combine_chunks().take(at), "")


def _library(faces: pa.Table, labels: pa.Table, where: str) -> Library:
    """One dataset's labels as a library. Faces without an embedding are left out when all have been grouped."""
    group = _group_by_people if "person" in labels.column_names else _group_by_pairs
    groups, apart = group(labels, faces["figure_id"].combine_chunks(), where)
    named = np.flatnonzero(groups >= 0)
    kept = named[faces["embedding"].is_valid().to_numpy()[named]]
    rows = faces.take(pa.array(kept))
    length = pc.list_value_length(rows["embedding"])
    if len(lengths := pc.unique(length)) > 1:
        raise _several_models(where, lengths.to_pylist())
    values = rows["embedding"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return Library(
        values.reshape(len(rows), -1) if len(rows) else np.zeros((0, 0), np.float32),
        rows["is_good"].to_numpy(),
        rows["uri"].combine_chunks().dictionary_encode().indices.to_numpy(),
        rows["face_quality"].to_numpy(),
        groups[kept],
        apart,
    )


def _several_models(where: str, lengths: Iterable[int]) -> UsageError:
    found = " and ".join(f"{length:,}" for length in sorted(lengths))
    return UsageError(f"{where}: the embeddings have {found} numbers; those of one model are accepted")


def _rows_of(figure_ids: pa.ChunkedArray, ids: pa.Array, where: str) -> NDArray[np.int64]:
    """The rows of faces in `ids`."""
    at = pc.index_in(figure_ids.combine_chunks(), ids)
    if at.null_count:
        missing = pc.unique(figure_ids.combine_chunks().filter(at.is_null()))
        raise NotFound(
            f"{where}: {len(missing):,} labelled faces are not in the lake, the first {missing[0].as_py()!r}"
        )
    return np.asarray(at.to_numpy(), np.int64)


def _group_by_people(labels: pa.Table, ids: pa.Array, where: str) -> tuple[NDArray[Any], None]:
    """The group of every face of `ids`, -1 of those not named: people by name, then nobody's faces one by one."""
    at = _rows_of(labels["figure_id"], ids, where)
    named = pc.fill_null(labels["person"], "").combine_chunks()
    people = pc.unique(named).filter(pc.not_equal(pc.unique(named), "")).sort()
    person = pc.fill_null(pc.index_in(named, people), -1).to_numpy()
    pairs = np.unique(np.stack([at, person]), axis=1)
    if len(twice := np.flatnonzero(np.diff(pairs[0]) == 0)):
        raise UsageError(f"{where}: {ids[int(pairs[0, twice[0]])].as_py()!r} is said to be two people; one is accepted")
    group = np.full(len(ids), -1)
    group[at] = np.where(person >= 0, person, len(people) + at)
    return group, None


def _group_by_pairs(labels: pa.Table, ids: pa.Array, where: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """The same of pairs: faces that are said to be one person's, and which groups are said to be different people."""
    left, right = (_rows_of(labels[name], ids, where) for name in ("figure_id", "other_figure_id"))
    same = labels["same"].to_numpy().astype(bool)
    group, apart = group_pairs(len(ids), left, right, same)
    if len(contradictions := np.flatnonzero(apart[:, 0] == apart[:, 1])):
        row = np.flatnonzero(~same)[contradictions[0]]
        pair = " and ".join(repr(ids[int(side[row])].as_py()) for side in (left, right))
        raise UsageError(f"{where}: {pair} are said to be different people, and by other pairs to be one")
    named = np.full(len(ids), -1)
    for side in (left, right):
        named[side] = group[side]
    return named, apart
