"""Bindings: sources that datasets follow (IMM's CreateBinding and its kin), and what the last sync of each listed."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from catalog.commits import change, merge_and_delete, remove, replace
from catalog.create import ensure_lake
from catalog.lake import Lake, Row, Scope
from catalog.sql import all_of, check_text, equals, literal
from schemas.binding_files import BINDING_FILES
from schemas.bindings import BINDINGS
from schemas.errors import NotFound, UsageError
from schemas.lake import CLUSTER_NAMESPACE, bucket_of
from schemas.locations import absolute_uri, lake_root, source_uri
from schemas.settings import LakeSettings

PREFIX = "Binding-"
FULL, INCREMENTAL = "FullScanning", "IncrementalScanning"
LISTED = ("uri", "size", "modified_time", "etag", "missing_since", "refusal")
"""The columns of a listing, as `binding_files` keeps it."""
LISTING_SCHEMA = pa.schema([(name, BINDING_FILES.arrow_schema.field(name).type) for name in LISTED])


def bind(root: str, scope: Scope, source: str, options: Mapping[str, Any]) -> Row:
    """Lets a dataset follow a source, and returns the binding; the lake is made where there is none.

    The same again changes nothing. Raises UsageError for another number of datasets than one, for other options than
    those in force, and for a source that lies in another of the same dataset, or holds one.
    """
    if len(scope.datasets) != 1:
        raise UsageError(f"--dataset: exactly one is accepted by bind, not {len(scope.datasets)}")
    root = lake_root(root)
    ensure_lake(root, LakeSettings())
    lake = Lake(root)
    source = absolute_uri(source_uri(check_text(source))).rstrip("/")
    dataset = scope.datasets[0]
    wanted = json.dumps(dict(options), sort_keys=True, ensure_ascii=False)
    for other in list_bindings(lake, scope):
        if other["source"] == source and other["options"] == wanted:
            return other
        if other["source"] == source:
            raise UsageError(
                f"{source} is bound to dataset {dataset!r} with the options {other['options']}: "
                f"`lakealbum bindings delete {other['binding_id']}` first, to bind it with others"
            )
        if f"{source}/".startswith(f"{other['source']}/") or f"{other['source']}/".startswith(f"{source}/"):
            raise UsageError(
                f"{source} and {other['source']}, which is bound to dataset {dataset!r}, hold the same files; sources "
                "that lie apart are accepted"
            )
    now = datetime.now(UTC)
    binding = {
        "binding_id": PREFIX + str(uuid.uuid5(CLUSTER_NAMESPACE, f"{scope.project}\n{dataset}\n{source}")),
        "project_name": scope.project,
        "dataset_name": dataset,
        "source": source,
        "options": wanted,
        "state": "Ready",
        "phase": FULL,
        "files": 0,
        "missing": 0,
        "refused": 0,
        "create_time": now,
        "update_time": now,
    }
    replace(root, BINDINGS, [binding])
    return get_binding(lake, scope, str(binding["binding_id"]))


def list_bindings(lake: Lake, scope: Scope) -> list[Row]:
    """The bindings of a scope, by dataset and source."""
    where = scope.condition(lake, bucketed=False)
    return lake.read(f"SELECT * FROM bindings WHERE {where} ORDER BY dataset_name, source", BINDINGS.name)


def every_binding(lake: Lake) -> list[Row]:
    """The bindings of all projects."""
    return lake.read("SELECT * FROM bindings", BINDINGS.name)


def get_binding(lake: Lake, scope: Scope, name: str) -> Row:
    """The binding of an id, or of a source. Raises NotFound, or UsageError where several datasets follow the source."""
    known = list_bindings(lake, scope)
    source = absolute_uri(name).rstrip("/")
    found = [row for row in known if name in (row["binding_id"], row["binding_id"].removeprefix(PREFIX))]
    found = found or [row for row in known if row["source"] == source]
    if not found:
        some = ", ".join(f"{row['binding_id']} ({row['source']})" for row in known[:5]) or "none"
        raise NotFound(f"no binding {name!r} in project {scope.project!r}; bindings: {some}")
    if len(found) > 1:
        raise UsageError(f"{name} is bound to several datasets: --dataset says which is meant")
    return found[0]


def change_binding(lake: Lake, binding: Row, **changes: Any) -> Row:
    """Gives columns of a binding new values, if they differ, and returns it. NotFound where it is there no more."""
    if all(binding[name] == value for name, value in changes.items()):
        return binding
    changes["update_time"] = datetime.now(UTC)
    found = equals("binding_id", binding["binding_id"])
    if not change(lake.root, BINDINGS, found, {name: literal(value) for name, value in changes.items()}):
        raise NotFound(f"binding {binding['binding_id']} was deleted")
    return {**binding, **changes}


def delete_binding(lake: Lake, binding: Row) -> None:
    """Ends a binding. The files that came by it stay."""
    remove(lake.root, BINDING_FILES, _of(lake, binding))
    remove(lake.root, BINDINGS, equals("binding_id", binding["binding_id"]))


def read_listing(lake: Lake, binding: Row) -> pa.Table:
    """What the last sync listed: LISTING_SCHEMA."""
    statement = f"SELECT {', '.join(LISTED)} FROM binding_files WHERE {_of(lake, binding)}"
    batches = list(lake.batches(statement, BINDING_FILES.name))
    return pa.table(pa.Table.from_batches(batches)).cast(LISTING_SCHEMA) if batches else LISTING_SCHEMA.empty_table()


def record_listing(lake: Lake, binding: Row, listed: pa.Table, gone: Sequence[str] = ()) -> None:
    """Makes the listing hold the rows of `listed` (LISTING_SCHEMA), and no file that is `gone`, in one commit."""
    if not listed.num_rows and not gone:
        return
    old = pa.table({"uri": pa.array(gone, pa.string())})
    rows = pa.concat_tables([listed, old], promote_options="default")
    flags = pa.array([False] * listed.num_rows + [True] * old.num_rows)
    constants = {
        "bucket": pa.scalar(_bucket(lake, binding), pa.int32()),
        **{name: pa.scalar(binding[name]) for name in ("project_name", "dataset_name", "binding_id")},
    }
    for name, value in constants.items():
        rows = rows.append_column(name, pa.repeat(value, rows.num_rows))
    whole = rows.select(BINDING_FILES.names).cast(BINDING_FILES.arrow_schema)
    merge_and_delete(lake.root, BINDING_FILES, whole, gone=flags, within=_of(lake, binding, "target."))


def _of(lake: Lake, binding: Row, of: str = "") -> str:
    return all_of([equals(f"{of}bucket", _bucket(lake, binding)), equals(f"{of}binding_id", binding["binding_id"])])


def _bucket(lake: Lake, binding: Row) -> int:
    return bucket_of(binding["project_name"], binding["dataset_name"], lake.settings.buckets)
