"""Views over the tables of a lake for people who know SQL: what jobs computed, with what people decided laid over it.

Each view is defined once, in SQL that DuckDB, Spark and Polars read alike; `Engine` has what differs between them. The
rows are those that the catalog's queries show (tests/catalog/test_views.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from urllib.parse import quote

from schemas.cluster_kinds import GROUPS, PEOPLE, TRIPS
from schemas.contract import LEVELS, Contract
from schemas.errors import UsageError
from schemas.figure_clusters import FIGURE_CLUSTERS
from schemas.figure_members import FIGURE_MEMBERS
from schemas.files import FILES
from schemas.lake import TABLES, table_uri
from schemas.location_date_clusters import LOCATION_DATE_CLUSTERS
from schemas.locations import absolute_uri
from schemas.similar_image_clusters import SIMILAR_IMAGE_CLUSTERS
from schemas.similar_image_members import SIMILAR_IMAGE_MEMBERS

HANDOVERS = 4
"""A title follows its cluster through so many mergings, one after the other. (The catalog follows any number: it may
loop, which SQL of all three engines cannot.)"""


@dataclass(frozen=True)
class View:
    """One view: what a row is, and its SQL, in which `{map_size}` is the engine's function of that meaning.

    `reads` are the tables and views that the SQL names. A view that is `kept` has few rows, is read by many, and takes
    an engine that plans each of its uses anew long to plan.
    """

    name: str
    row: str
    sql: str
    reads: tuple[str, ...]
    kept: bool = False


@dataclass(frozen=True)
class Engine:
    """What sets one engine apart: how a table is read, how a view is made, how the keys of a map are counted.

    `{uri}` of a table is quoted by doubling `quote`. `kept` makes a view of the kind that is kept.
    """

    name: str
    table: str
    quote: str
    view: str
    kept: str
    map_size: str
    head: str = ""


_DUCKDB_VIEW = "CREATE OR REPLACE VIEW {name} AS\n{sql};\n"
_SPARK_VIEW = "CREATE OR REPLACE TEMPORARY VIEW {name} AS\n{sql};\n"
DUCKDB = Engine(
    "duckdb",
    table="CREATE OR REPLACE VIEW {name} AS SELECT * FROM delta_scan('{uri}');\n",
    quote="'",
    view=_DUCKDB_VIEW,
    kept=_DUCKDB_VIEW,
    map_size="cardinality",
    head="INSTALL delta;\nLOAD delta;\nSET TimeZone = 'UTC';\n",
)
PINNED = replace(
    DUCKDB,
    table="ATTACH '{uri}' AS _{name} (TYPE delta, PIN_SNAPSHOT);\nCREATE VIEW {name} AS SELECT * FROM _{name};\n",
    kept="CREATE TEMPORARY TABLE {name} AS\n{sql};\n",
)
"""DuckDB for one session, which reads each table's log once and sees the lake as it was then."""
SPARK = Engine(
    "spark",
    table="CREATE OR REPLACE TEMPORARY VIEW {name} AS SELECT * FROM delta.`{uri}`;\n",
    quote="`",
    view=_SPARK_VIEW,
    kept=_SPARK_VIEW + "CACHE LAZY TABLE {name};\n",
    map_size="cardinality",
)
POLARS = Engine(
    "polars",
    table='views.register("{name}", scan({uri!r}))\n',
    quote="",
    view='views.register("{name}", views.execute("""\n{sql}\n"""))\n',
    kept='views.register("{name}", views.execute("""\n{sql}\n""").collect().lazy())\n',
    map_size="array_length",
    head="""import polars as pl


def scan(uri: str) -> pl.LazyFrame:
    \"\"\"A table of the lake. SQL of Polars knows no maps: they become lists of key and value.\"\"\"
    frame = pl.scan_delta(uri)
    maps = [name for name, kind in frame.collect_schema().items() if isinstance(kind, pl.Map)]
    return frame.with_columns(pl.col(name).map.entries() for name in maps)


views = pl.SQLContext()
""",
)
"""Polars makes no views in SQL: its statements are a Python program."""
ENGINES: Mapping[str, Engine] = {engine.name: engine for engine in (DUCKDB, SPARK, POLARS)}

_OF_DATASET = ("project_name", "dataset_name")
_OF_FILE = ("bucket", *_OF_DATASET, "uri")
_NOT_DELETED = "(d.is_deleted IS NULL OR NOT d.is_deleted)"
_TOUCHED = "greatest(c.update_time, coalesce(d.edit_time, c.update_time))"
_IS_GIVEN = {
    "title": "title <> ''",
    "custom_id": "custom_id <> ''",
    "custom_labels": "{map_size}(custom_labels) > 0",
    "cover_uri": "cover_uri <> ''",
    "cover_figure_id": "cover_figure_id <> ''",
}
"""Fields that an edit gives, and whether it gave a value: without one it clears."""


def _same(left: str, right: str, names: Iterable[str]) -> str:
    return " AND ".join(f"{left}.{name} = {right}.{name}" for name in names)


def _select(contract: Contract, seen: Mapping[str, str], table: str = "c") -> str:
    """The columns of a contract, some as people see them, and those that are seen beside them."""
    own = [f"{seen.get(name, f'{table}.{name}')} AS {name}" for name in contract.names]
    return ",\n  ".join([*own, *(f"{sql} AS {name}" for name, sql in seen.items() if name not in contract.names)])


def _decisions() -> str:
    """Every edited cluster's decisions in force: its own, else the latest of those merged into it.

    Decisions are rows of object_id, field and the edit that made them; they go from cluster to successor, `HANDOVERS`
    times at most, unless the successor has decided the same field, or the cluster was deleted.
    """
    own = "\n  UNION ALL ".join(
        f"SELECT object_id, '{field}' AS field, max(sequence) AS sequence FROM cluster_edits "
        f"WHERE action = 'update' AND {field} IS NOT NULL GROUP BY object_id"
        for field in _IS_GIVEN
    )
    given = "\n    ".join(f"OR (own.field = '{field}' AND e.{sql})" for field, sql in _IS_GIVEN.items()).replace(
        "e.{map_size}(custom_labels)", "{map_size}(e.custom_labels)"
    )
    gone = "\n  UNION ALL ".join(
        f"SELECT object_id, successor_id FROM {kind.lineage.name} WHERE state = 'gone' AND successor_id IS NOT NULL"
        for kind in (TRIPS, GROUPS, PEOPLE)
    )
    rounds = "".join(
        f""",
moved_{number} AS (
  SELECT coalesce(s.successor_id, m.holder) AS holder, m.field AS field, m.sequence AS sequence,
    m.edit_time AS edit_time
  FROM moved_{number - 1} AS m
  LEFT JOIN steps AS s ON s.object_id = m.holder
  LEFT JOIN own AS o ON o.object_id = s.successor_id AND o.field = m.field
  WHERE o.field IS NULL)"""
        for number in range(1, HANDOVERS + 1)
    )
    last = ",\n  ".join(f"max(CASE WHEN field = '{field}' THEN sequence END) AS {field}_at" for field in _IS_GIVEN)
    values = ",\n  ".join(f"e_{field}.{field} AS {field}" for field in _IS_GIVEN)
    joins = "\n".join(
        f"LEFT JOIN cluster_edits AS e_{field} ON e_{field}.sequence = l.{field}_at" for field in _IS_GIVEN
    )
    return f"""WITH own AS (
  {own}),
hidden AS (
  SELECT object_id FROM (
    SELECT object_id, max(CASE WHEN action = 'delete' THEN sequence END) AS deleted_at,
      max(CASE WHEN action = 'undelete' THEN sequence END) AS undeleted_at
    FROM cluster_edits GROUP BY object_id) AS deletions
  WHERE deleted_at > coalesce(undeleted_at, -1)),
gone AS (
  {gone}),
steps AS (
  SELECT g.object_id AS object_id, g.successor_id AS successor_id
  FROM gone AS g LEFT JOIN hidden AS h ON h.object_id = g.object_id WHERE h.object_id IS NULL),
moved_0 AS (
  SELECT own.object_id AS holder, own.field AS field, own.sequence AS sequence, e.edit_time AS edit_time
  FROM own JOIN cluster_edits AS e ON e.sequence = own.sequence
  WHERE FALSE
    {given}
  UNION ALL
  SELECT object_id AS holder, 'edit' AS field, max(sequence) AS sequence, max(edit_time) AS edit_time
  FROM cluster_edits GROUP BY object_id){rounds},
latest AS (
  SELECT holder, max(CASE WHEN field = 'edit' THEN edit_time END) AS edit_time,
  {last}
  FROM moved_{HANDOVERS} GROUP BY holder)
SELECT l.holder AS object_id,
  {values},
  h.object_id IS NOT NULL AS is_deleted, l.edit_time AS edit_time
FROM latest AS l
{joins}
LEFT JOIN hidden AS h ON h.object_id = l.holder"""


def _live_files() -> str:
    """The files that are there, with what people and callers said in place of what sources say, and their places."""
    aspects = {
        "custom_id": "custom_id IS NOT NULL",
        "custom_labels": "custom_labels IS NOT NULL",
        "time": "produce_time IS NOT NULL",
        "place": "(latitude IS NOT NULL OR address IS NOT NULL)",
    }
    last = ",\n    ".join(
        f"max(CASE WHEN {is_said} OR array_contains(taken_back, '{aspect}') THEN sequence END) AS {aspect}_at"
        for aspect, is_said in aspects.items()
    )
    joins = "\n".join(
        f"LEFT JOIN file_edits AS e_{aspect} ON e_{aspect}.object_id = l.object_id "
        f"AND e_{aspect}.sequence = l.{aspect}_at"
        for aspect in aspects
    )
    is_timed = "e_time.produce_time IS NOT NULL"
    is_placed = "(e_place.latitude IS NOT NULL OR e_place.address IS NOT NULL)"
    seen = {
        "custom_id": "CASE WHEN e_custom_id.custom_id IS NOT NULL "
        "THEN nullif(e_custom_id.custom_id, '') ELSE f.custom_id END",
        "custom_labels": "CASE WHEN e_custom_labels.custom_labels IS NOT NULL "
        "THEN e_custom_labels.custom_labels ELSE f.custom_labels END",
        "time_source": f"CASE WHEN {is_timed} THEN 'edited' ELSE f.time_source END",
        "location_source": f"CASE WHEN {is_placed} THEN 'edited' ELSE f.location_source END",
        "update_time": "greatest(f.update_time, coalesce(l.edit_time, f.update_time))",
    }
    seen |= {
        name: f"CASE WHEN {is_timed} THEN e_time.{name} ELSE f.{name} END"
        for name in ("produce_time", "time_is", "utc_offset")
    }
    seen |= {
        name: f"CASE WHEN {is_placed} THEN e_place.{name} ELSE f.{name} END"
        for name in ("latitude", "longitude", "address")
    }
    seen |= {name: f"p.{name}" for name in (*LEVELS, "place_key", "time_zone", "local_date")}
    return f"""WITH latest AS (
  SELECT object_id, max(edit_time) AS edit_time,
    {last}
  FROM file_edits GROUP BY object_id)
SELECT {_select(FILES, seen, "f")}
FROM files AS f
LEFT JOIN latest AS l ON l.object_id = f.object_id
{joins}
LEFT JOIN file_notes AS n ON {_same("n", "f", (*_OF_DATASET, "uri"))}
LEFT JOIN file_places AS p ON {_same("p", "f", _OF_FILE)}
WHERE f.deleted_time IS NULL AND (n.removed_time IS NULL OR n.removed_time < {seen["update_time"]})"""


def _trips() -> str:
    seen = {
        "title": "coalesce(nullif(d.title, ''), c.title)",
        "cover_uri": "coalesce(nullif(d.cover_uri, ''), c.cover_uri)",
        "update_time": _TOUCHED,
        "proposed_title": "c.title",
        "given_title": "d.title",
        "custom_id": "d.custom_id",
        "custom_labels": "d.custom_labels",
    }
    return f"""SELECT {_select(LOCATION_DATE_CLUSTERS, seen)}
FROM location_date_clusters AS c
LEFT JOIN cluster_decisions AS d ON d.object_id = c.object_id
WHERE {_NOT_DELETED}"""


def _trip_files() -> str:
    """A file's place key at a level is its first parts: a join by equality, level by level."""
    parts = [f"split_part(place_key, '/', {number})" for number in range(1, len(LEVELS) + 1)]
    keys = [" || '/' || ".join(parts[:depth]) for depth in range(1, len(LEVELS) + 1)]
    told = (*_OF_FILE, "media_type", "produce_time", "utc_offset", "local_date", *LEVELS, "shot_id")
    columns = ", ".join(told)
    at_levels = "\n  UNION ALL ".join(
        f"SELECT {columns}, '{level}' AS level, {key} AS place_key FROM file_places WHERE deleted_time IS NULL"
        for level, key in zip(LEVELS, keys, strict=True)
    )
    return f"""WITH placed AS (
  {at_levels})
SELECT t.object_id AS object_id, t.title AS title, t.level AS level,
  {", ".join(f"f.{name} AS {name}" for name in told)}
FROM trips AS t
JOIN placed AS f ON {_same("f", "t", ("bucket", *_OF_DATASET, "level", "place_key"))}
WHERE f.local_date BETWEEN t.first_day AND t.last_day"""


def _kept_images() -> str:
    return f"""SELECT project_name, dataset_name, uri FROM (
  SELECT project_name, dataset_name, uri, max(CASE WHEN action = 'keep' THEN sequence END) AS kept_at,
    max(CASE WHEN action = 'unkeep' THEN sequence END) AS unkept_at
  FROM cluster_edits WHERE kind = '{GROUPS.name}' GROUP BY project_name, dataset_name, uri) AS marks
WHERE kept_at > coalesce(unkept_at, -1)"""


def _parted_images() -> str:
    marks = f"FROM cluster_edits WHERE kind = '{GROUPS.name}' AND action"
    return f"""WITH rejoined AS (
  SELECT project_name, dataset_name, uri, max(sequence) AS sequence {marks} = 'rejoin'
  GROUP BY project_name, dataset_name, uri),
parted AS (
  SELECT project_name, dataset_name, uri, sequence, fingerprints {marks} = 'part'),
apart AS (
  SELECT p.project_name AS project_name, p.dataset_name AS dataset_name, p.uri AS uri, p.fingerprints AS fingerprints
  FROM parted AS p LEFT JOIN rejoined AS r ON {_same("r", "p", (*_OF_DATASET, "uri"))}
  WHERE p.sequence > coalesce(r.sequence, -1)),
last_parted AS (
  SELECT project_name, dataset_name, max(sequence) AS sequence FROM parted GROUP BY project_name, dataset_name),
part_times AS (
  SELECT l.project_name AS project_name, l.dataset_name AS dataset_name, e.edit_time AS edit_time
  FROM last_parted AS l JOIN cluster_edits AS e ON e.sequence = l.sequence)
SELECT DISTINCT m.project_name AS project_name, m.dataset_name AS dataset_name, m.object_id AS object_id,
  m.uri AS uri, t.edit_time AS edit_time
FROM similar_image_members AS m
JOIN apart AS a ON {_same("a", "m", (*_OF_DATASET, "uri"))}
JOIN similar_image_members AS o ON {_same("o", "m", (*_OF_DATASET, "object_id"))}
JOIN part_times AS t ON {_same("t", "m", _OF_DATASET)}
WHERE o.uri <> m.uri AND array_contains(a.fingerprints, o.fingerprint)"""


_VISIBLE = f"""SELECT {", ".join(f"m.{name} AS {name}" for name in SIMILAR_IMAGE_MEMBERS.names)},
    k.uri IS NOT NULL AS is_kept
  FROM similar_image_members AS m
  LEFT JOIN parted_images AS p ON {_same("p", "m", (*_OF_DATASET, "object_id", "uri"))}
  LEFT JOIN kept_images AS k ON {_same("k", "m", (*_OF_DATASET, "uri"))}
  WHERE p.uri IS NULL"""


def _similar_images() -> str:
    seen = {
        "files": "c.files - coalesce(p.files, 0)",
        "cover_uri": "coalesce(chosen.uri, best.uri, c.cover_uri)",
        "update_time": "greatest(c.update_time, coalesce(d.edit_time, p.edit_time, c.update_time))",
        "title": "nullif(d.title, '')",
        "custom_id": "d.custom_id",
        "custom_labels": "d.custom_labels",
    }
    return f"""WITH members AS (
  {_VISIBLE}),
best AS (
  SELECT object_id, uri FROM (
    SELECT object_id, uri,
      row_number() OVER (PARTITION BY object_id ORDER BY CASE WHEN is_kept THEN 0 ELSE 1 END, rank, uri) AS place
    FROM members) AS numbered
  WHERE place = 1),
parted AS (
  SELECT object_id, count(*) AS files, max(edit_time) AS edit_time FROM parted_images GROUP BY object_id)
SELECT {_select(SIMILAR_IMAGE_CLUSTERS, seen)}
FROM similar_image_clusters AS c
LEFT JOIN cluster_decisions AS d ON d.object_id = c.object_id
LEFT JOIN parted AS p ON p.object_id = c.object_id
LEFT JOIN best ON best.object_id = c.object_id
LEFT JOIN members AS chosen ON chosen.object_id = c.object_id AND chosen.uri = d.cover_uri
WHERE c.state = 'live' AND {_NOT_DELETED} AND c.files - coalesce(p.files, 0) >= 2"""


def _similar_image_files() -> str:
    seen = {
        "is_kept": "m.is_kept",
        "can_go": "m.rank > 1 AND m.kind <> 'shot' AND NOT m.is_kept",
        **{name: f"f.{name}" for name in ("size", "image_width", "image_height", "produce_time")},
    }
    return f"""WITH members AS (
  {_VISIBLE})
SELECT {_select(SIMILAR_IMAGE_MEMBERS, seen, "m")}
FROM members AS m
JOIN similar_images AS c ON c.object_id = m.object_id
LEFT JOIN files AS f ON {_same("f", "m", _OF_FILE)}"""


def _people() -> str:
    seen = {
        "name": "nullif(d.title, '')",
        "cover_figure_id": "coalesce(chosen.figure_id, c.cover_figure_id)",
        "cover_uri": "coalesce(chosen.uri, c.cover_uri)",
        "update_time": _TOUCHED,
        "custom_id": "d.custom_id",
        "custom_labels": "d.custom_labels",
    }
    return f"""SELECT {_select(FIGURE_CLUSTERS, seen)}
FROM figure_clusters AS c
LEFT JOIN cluster_decisions AS d ON d.object_id = c.object_id
LEFT JOIN figure_members AS chosen ON chosen.object_id = c.object_id AND chosen.figure_id = d.cover_figure_id
WHERE c.state = 'live' AND {_NOT_DELETED}"""


def _person_faces() -> str:
    seen = {
        "name": "p.name",
        **{name: f"f.{name}" for name in ("age", "gender", "face_quality", "boundary")},
        "produce_time": "i.produce_time",
    }
    return f"""SELECT {_select(FIGURE_MEMBERS, seen, "m")}
FROM figure_members AS m
JOIN people AS p ON p.object_id = m.object_id
LEFT JOIN figures AS f ON {_same("f", "m", ("bucket", *_OF_DATASET, "figure_id"))}
LEFT JOIN files AS i ON {_same("i", "m", _OF_FILE)}"""


def _clusters() -> str:
    told = ("project_name", "dataset_name", "object_id", "files", "cover_uri", "create_time", "update_time", "run_id")
    titles = {"trips": (TRIPS, "title"), "similar_images": (GROUPS, "title"), "people": (PEOPLE, "name")}
    return "\nUNION ALL\n".join(
        f"SELECT '{kind.name}' AS kind, {title} AS title, {', '.join(told)} FROM {view}"
        for view, (kind, title) in titles.items()
    )


def _cluster_files() -> str:
    files = {"trip_files": TRIPS, "similar_image_files": GROUPS, "person_faces": PEOPLE}
    return "\nUNION ALL\n".join(
        f"SELECT DISTINCT '{kind.name}' AS kind, project_name, dataset_name, object_id, uri FROM {view}"
        for view, kind in files.items()
    )


def _cluster_history() -> str:
    return """SELECT e.kind AS kind, e.project_name AS project_name, e.dataset_name AS dataset_name,
  e.object_id AS object_id, e.event_time AS happened, e.event AS what, e.reason AS why, e.other_id AS other_id,
  e.run_id AS run_id, r.job AS job, r.parameters AS parameters
FROM cluster_events AS e
LEFT JOIN runs AS r ON r.run_id = e.run_id
UNION ALL
SELECT kind, project_name, dataset_name, object_id, edit_time AS happened, action AS what,
  coalesce(title, uri, figure_id) AS why, other_id, CAST(NULL AS STRING) AS run_id,
  CAST(NULL AS STRING) AS job, CAST(NULL AS STRING) AS parameters
FROM cluster_edits"""


_DEFINED = (
    View(
        "live_files",
        "file that is there, as people see it, with its address and local day",
        _live_files(),
        ("files", "file_edits", "file_notes", "file_places"),
    ),
    View(
        "cluster_decisions",
        "cluster that people named, labelled or deleted, with what is in force, mergings followed",
        _decisions(),
        ("cluster_edits", *(kind.lineage.name for kind in (TRIPS, GROUPS, PEOPLE))),
        kept=True,
    ),
    View(
        "trips",
        "trip or stay that is not deleted, with the title that people gave or else its place",
        _trips(),
        ("location_date_clusters", "cluster_decisions"),
    ),
    View("trip_files", "trip and file of it", _trip_files(), ("file_places", "trips")),
    View("kept_images", "picture that people marked to be kept", _kept_images(), ("cluster_edits",), kept=True),
    View(
        "parted_images",
        "picture that people parted from its cluster since the last clustering",
        _parted_images(),
        ("cluster_edits", "similar_image_members"),
        kept=True,
    ),
    View(
        "similar_images",
        "group of similar pictures that is there and not deleted",
        _similar_images(),
        ("similar_image_clusters", "similar_image_members", "parted_images", "kept_images", "cluster_decisions"),
    ),
    View(
        "similar_image_files",
        "picture of such a group: its rank, its size, and whether it can go (`can_go`)",
        _similar_image_files(),
        ("similar_image_members", "parted_images", "kept_images", "similar_images", "files"),
    ),
    View(
        "people",
        "person who is there and not ignored, with the name that people gave",
        _people(),
        ("figure_clusters", "figure_members", "cluster_decisions"),
    ),
    View(
        "person_faces",
        "face of such a person, with age, time and file",
        _person_faces(),
        ("figure_members", "people", "figures", "files"),
    ),
    View(
        "clusters",
        "cluster of any kind that people see",
        _clusters(),
        ("trips", "similar_images", "people"),
    ),
    View(
        "cluster_files",
        "cluster of any kind and file of it",
        _cluster_files(),
        ("trip_files", "similar_image_files", "person_faces"),
    ),
    View(
        "cluster_history",
        "thing that happened to a cluster: an event with the run that made it, or an edit",
        _cluster_history(),
        ("cluster_events", "cluster_edits", "runs"),
    ),
)
VIEWS: Mapping[str, View] = {view.name: view for view in _DEFINED}
"""The views, each after those that it reads."""


def find_engine(name: str) -> Engine:
    """The engine of a name. Raises UsageError for another one."""
    if name not in ENGINES:
        raise UsageError(f"--engine {name!r} is not one of {', '.join(ENGINES)}")
    return ENGINES[name]


def view_statements(root: str, engine: Engine, names: Iterable[str] | None = None) -> Iterator[tuple[str, str]]:
    """The tables and views of a lake, by name, each with the statement that makes it, in the order to run them.

    `names` chooses some; what they read comes with them. Raises UsageError for a lake that the engine cannot read.
    """
    wanted = {*TABLES, *VIEWS} if names is None else set(names)
    for view in reversed(_DEFINED):
        if view.name in wanted:
            wanted |= set(view.reads)
    location = absolute_uri(root)
    if engine is POLARS and "://" not in location and quote(location) != location:
        raise UsageError(f"lake {root!r}: Polars finds the files of a lake only where its path is ASCII without spaces")
    for name in TABLES:
        if name in wanted:
            uri = table_uri(location, name)
            yield (
                name,
                engine.table.format(
                    name=name, uri=uri.replace(engine.quote, 2 * engine.quote) if engine.quote else uri
                ),
            )
    for view in _DEFINED:
        if view.name in wanted:
            sql = view.sql.replace("{map_size}", engine.map_size)
            yield view.name, (engine.kept if view.kept else engine.view).format(name=view.name, sql=sql)


def script(root: str, engine: Engine) -> str:
    """All tables and views of a lake as a text to run: SQL, or for Polars a Python program."""
    statements = [statement for _, statement in view_statements(root, engine)]
    return "\n".join(filter(None, [engine.head, *statements]))
