"""Tests of the data of a lake: what must hold within its tables and between them, and the rows that break it.

Each test selects the rows that break it. What a killed run left undone breaks some of them until the next run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from catalog.lake import Lake, Row
from catalog.sql import one_of
from schemas.cluster_kinds import GROUPS, PEOPLE, TRIPS
from schemas.contract import LEVELS, Contract
from schemas.lake import TABLES, bucket_of
from schemas.reasons import REASONS

EXAMPLES = 3
"""Rows that a finding shows."""

_ENDED = "event IN ('removed', 'merged_into')"
_DATASET = ("bucket", "project_name", "dataset_name")


@dataclass(frozen=True)
class Part:
    """One table of a test: `sql` selects the rows that break it, or where `breaks` is given, those that it judges.

    `reads` are the tables that the SQL names.
    """

    table: str
    sql: str
    reads: tuple[str, ...]
    breaks: Callable[[Lake, Row], bool] | None = None


@dataclass(frozen=True)
class Check:
    """What must hold, in words, and how that is tested."""

    name: str
    holds: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Finding:
    """How many rows of a table break a test, and the first of them, by the columns that tell which they are."""

    check: Check
    table: str
    rows: int
    examples: list[Row]


def run_check(lake: Lake, check: Check) -> list[Finding]:
    """What breaks a test, a finding a table; none where it holds. Raises LakeError where a table is missing."""
    return [finding for part in check.parts if (finding := _find(lake, check, part)).rows]


def _find(lake: Lake, check: Check, part: Part) -> Finding:
    if part.breaks is not None:
        rows = [row for row in lake.read(part.sql, *part.reads) if part.breaks(lake, row)]
        return Finding(check, part.table, len(rows), rows[:EXAMPLES])
    count = lake.count(f"({part.sql})", *part.reads)
    examples = lake.read(f"{part.sql} LIMIT {EXAMPLES}", *part.reads) if count else []
    return Finding(check, part.table, count, examples)


def _columns(contract: Contract) -> str:
    """The columns that tell which row it is, but for its bucket."""
    return ", ".join(name for name in contract.key if name != "bucket" or contract.key == ("bucket",))


def _contracts() -> Iterator[Part]:
    for contract in TABLES.values():
        broken = {f"{c.name} is null": f"{c.name} IS NULL" for c in contract.columns if not c.nullable}
        broken |= {name: f"({sql}) IS NOT TRUE" for name, sql in contract.checks.items()}
        told = " ".join(f"WHEN {condition} THEN '{name}'" for name, condition in broken.items())
        where = " OR ".join(broken.values())
        sql = f"SELECT {_columns(contract)}, CASE {told} END AS broken FROM {contract.name} WHERE {where}"
        yield Part(contract.name, sql, (contract.name,))


def _keys() -> Iterator[Part]:
    for contract in TABLES.values():
        key = ", ".join(contract.key)
        sql = f"SELECT {key}, count(*) AS times FROM {contract.name} GROUP BY {key} HAVING count(*) > 1"
        yield Part(contract.name, sql, (contract.name,))


def _runs() -> Iterator[Part]:
    for contract in TABLES.values():
        if "run_id" in contract.names and contract.name not in ("runs", "tasks"):
            sql = (
                f"SELECT t.run_id, count(*) AS rows_of_it FROM {contract.name} AS t LEFT JOIN runs AS r "
                "ON r.run_id = t.run_id WHERE t.run_id IS NOT NULL AND r.run_id IS NULL GROUP BY t.run_id"
            )
            yield Part(contract.name, sql, (contract.name, "runs"))


def _datasets() -> Iterator[Part]:
    for contract in TABLES.values():
        if set(_DATASET) <= set(contract.names) and contract.name != "rejected":
            sql = (
                "SELECT DISTINCT t.project_name, t.dataset_name "
                f"FROM {contract.name} AS t LEFT JOIN datasets AS d "
                "ON d.project_name = t.project_name AND d.dataset_name = t.dataset_name WHERE d.dataset_name IS NULL"
            )
            yield Part(contract.name, sql, (contract.name, "datasets"))


def _buckets() -> Iterator[Part]:
    for contract in TABLES.values():
        if set(_DATASET) <= set(contract.names) and contract.name != "rejected":
            sql = f"SELECT DISTINCT {', '.join(_DATASET)} FROM {contract.name}"
            yield Part(contract.name, sql, (contract.name,), _is_misplaced)


def _is_misplaced(lake: Lake, row: Row) -> bool:
    expected: int = bucket_of(row["project_name"], row["dataset_name"], lake.settings.buckets)
    return bool(row["bucket"] != expected)


def _orphans(table: str, of: str, on: tuple[str, ...], where: str = "TRUE", there: str = "TRUE") -> Part:
    """The rows of a table that have no row of another one of the same project and dataset."""
    names = ("project_name", "dataset_name", *on)
    same = " AND ".join(f"o.{name} = t.{name}" for name in names)
    key = ", ".join(f"t.{name}" for name in dict.fromkeys((*TABLES[table].key, *on)) if name != "bucket")
    sql = (
        f"SELECT {key} FROM (SELECT * FROM {table} WHERE {where}) AS t "
        f"LEFT JOIN (SELECT DISTINCT {', '.join(names)} FROM {of} WHERE {there}) AS o ON {same} "
        "WHERE o.project_name IS NULL"
    )
    return Part(table, sql, (table, of))


def _group_counts() -> Part:
    return Part(
        GROUPS.table.name,
        "SELECT c.project_name, c.dataset_name, c.object_id, c.files, coalesce(m.members, 0) AS members "
        f"FROM similar_image_clusters AS c LEFT JOIN (SELECT object_id AS of, count(*) AS members "
        f"FROM similar_image_members GROUP BY object_id) AS m ON m.of = c.object_id "
        f"WHERE c.{GROUPS.live} AND c.files <> coalesce(m.members, 0)",
        (GROUPS.table.name, GROUPS.members.name),
    )


def _people_counts() -> Part:
    counted = (
        "SELECT object_id AS of, count(*) AS member_faces, count(DISTINCT uri) AS member_files, "
        "sum(CASE WHEN role = 'founder' THEN 1 ELSE 0 END) AS member_founders FROM figure_members "
        "WHERE object_id IS NOT NULL GROUP BY object_id"
    )
    told = ", ".join(f"c.{name}, m.member_{name}" for name in ("faces", "files", "founders"))
    differ = " OR ".join(f"c.{name} <> coalesce(m.member_{name}, 0)" for name in ("faces", "files", "founders"))
    return Part(
        PEOPLE.table.name,
        f"SELECT c.project_name, c.dataset_name, c.object_id, {told} "
        f"FROM figure_clusters AS c LEFT JOIN ({counted}) AS m ON m.of = c.object_id "
        f"WHERE c.{PEOPLE.live} AND ({differ})",
        (PEOPLE.table.name, PEOPLE.members.name),
    )


def _trips_and_segments() -> Part:
    """Trips that differ from their segments, and segments that are clusters without a trip."""
    columns = ("object_id", "first_day", "last_day", "days", "files", "images", "videos")
    same = " AND ".join(f"c.{name} = s.{name}" for name in columns)
    return Part(
        TRIPS.table.name,
        "SELECT coalesce(c.object_id, s.object_id) AS object_id, c.files, s.files AS segment_files, "
        "c.first_day, s.first_day AS segment_first_day, c.last_day, s.last_day AS segment_last_day "
        "FROM location_date_clusters AS c FULL JOIN (SELECT * FROM location_date_segments WHERE is_cluster) AS s "
        f"ON s.object_id = c.object_id WHERE ({same}) IS NOT TRUE",
        (TRIPS.table.name, TRIPS.lineage.name),
    )


def _trips_and_days() -> Part:
    """Trips whose counts are not those of their days.

    Left out are datasets with days that came after their last clustering, and trips with days that people deleted.
    """
    at_levels = " UNION ALL ".join(
        f"SELECT {', '.join(_DATASET)}, '{level}' AS level, {_place_key(depth)} AS place_key, local_date, files "
        "FROM place_days"
        for depth, level in enumerate(LEVELS, start=1)
    )
    clustered = (
        "SELECT s.project_name, s.dataset_name FROM dataset_state AS s JOIN (SELECT p.project_name, p.dataset_name, "
        "max(r.start_time) AS evidence_time FROM place_days AS p JOIN runs AS r ON r.run_id = p.run_id "
        "GROUP BY p.project_name, p.dataset_name) AS e "
        "ON e.project_name = s.project_name AND e.dataset_name = s.dataset_name "
        f"WHERE s.kind = '{TRIPS.name}' AND s.update_time >= e.evidence_time"
    )
    deleted = (
        "SELECT DISTINCT c.object_id AS of FROM location_date_clusters AS c JOIN cluster_edits AS e "
        "ON e.project_name = c.project_name AND e.dataset_name = c.dataset_name AND e.level = c.level "
        "AND e.place_key = c.place_key WHERE e.first_day <= c.last_day AND e.last_day >= c.first_day"
    )
    counted = (
        "SELECT c.object_id AS of, sum(d.files) AS files FROM location_date_clusters AS c JOIN days AS d "
        "ON d.bucket = c.bucket AND d.project_name = c.project_name AND d.dataset_name = c.dataset_name "
        "AND d.level = c.level AND d.place_key = c.place_key "
        "WHERE d.local_date BETWEEN c.first_day AND c.last_day GROUP BY c.object_id"
    )
    sql = (
        f"WITH days AS ({at_levels}) "
        "SELECT c.project_name, c.dataset_name, c.object_id, c.files, coalesce(n.files, 0) AS files_of_days "
        f"FROM location_date_clusters AS c JOIN ({clustered}) AS s "
        "ON s.project_name = c.project_name AND s.dataset_name = c.dataset_name "
        f"LEFT JOIN ({deleted}) AS x ON x.of = c.object_id LEFT JOIN ({counted}) AS n ON n.of = c.object_id "
        "WHERE x.of IS NULL AND c.files <> coalesce(n.files, 0)"
    )
    return Part(TRIPS.table.name, sql, (TRIPS.table.name, "place_days", "dataset_state", "cluster_edits", "runs"))


def _place_key(depth: int) -> str:
    return " || '/' || ".join(f"split_part(place_key, '/', {number})" for number in range(1, depth + 1))


def _events() -> Iterator[Part]:
    """Clusters whose last event says something else than their row."""
    for kind in (TRIPS, GROUPS, PEOPLE):
        told = ("first_day", "last_day") if kind is TRIPS else ("files",)
        differ = " OR ".join(f"(e.{name} IS DISTINCT FROM c.{name})" for name in told)
        last = (
            f"SELECT project_name, dataset_name, object_id, bool_or({_ENDED}) AS is_ended, "
            f"{', '.join(f'max({name}) AS {name}' for name in told)} FROM "
            "(SELECT *, rank() OVER (PARTITION BY project_name, dataset_name, object_id ORDER BY cluster_version DESC) "
            f"AS age FROM cluster_events WHERE kind = '{kind.name}') WHERE age = 1 "
            "GROUP BY project_name, dataset_name, object_id"
        )
        sql = (
            "SELECT coalesce(c.project_name, e.project_name) AS project_name, "
            "coalesce(c.dataset_name, e.dataset_name) AS dataset_name, "
            "coalesce(c.object_id, e.object_id) AS object_id, c.object_id IS NOT NULL AS is_there, e.is_ended "
            f"FROM (SELECT * FROM {kind.table.name} WHERE {kind.live}) AS c FULL JOIN ({last}) AS e "
            "ON e.project_name = c.project_name AND e.dataset_name = c.dataset_name AND e.object_id = c.object_id "
            "WHERE (c.object_id IS NULL AND NOT e.is_ended) "
            f"OR (c.object_id IS NOT NULL AND (coalesce(e.is_ended, TRUE) OR {differ}))"
        )
        yield Part(kind.table.name, sql, (kind.table.name, "cluster_events"))


def _edited() -> Iterator[Part]:
    for kind in (TRIPS, GROUPS, PEOPLE):
        said = f"kind = '{kind.name}' AND action NOT IN ('erase', 'undelete')"
        yield _orphans("cluster_edits", kind.lineage.name, ("object_id",), where=said)


def _counts_all(lake: Lake, row: Row) -> bool:
    """Whether a run took in or refused more or fewer rows than it read."""
    counts = row["row_counts"] or {}
    refused = sum(counts.get(f"rejected.{reason}", 0) for reason in REASONS)
    return "input" in counts and counts["input"] != counts.get("accepted", 0) + refused


CHECKS = (
    Check("contract", "no value is missing that a row must have, and every constraint holds", tuple(_contracts())),
    Check("key", "no two rows of a table have one key", tuple(_keys())),
    Check("run", "the run that wrote a row is in `runs`", tuple(_runs())),
    Check("dataset", "the dataset of a row is in `datasets`", tuple(_datasets())),
    Check("bucket", "a row lies in the bucket of its dataset", tuple(_buckets())),
    Check(
        "file",
        "what is told of a file is of a file in `files`",
        tuple(_orphans(table, "files", ("uri",)) for table in ("file_places", "file_features", "face_scans")),
    ),
    Check(
        "member",
        "a member is of a cluster that is there",
        (
            _orphans("similar_image_members", "similar_image_clusters", ("object_id",), there=GROUPS.live),
            _orphans("figure_members", "figure_clusters", ("object_id",), "object_id IS NOT NULL", PEOPLE.live),
        ),
    ),
    Check(
        "member file",
        "a member's picture, or face, is there",
        (
            _orphans("similar_image_members", "files", ("uri",), there="deleted_time IS NULL"),
            _orphans("figure_members", "figures", ("figure_id",)),
        ),
    ),
    Check("members counted", "a cluster counts as many members as it has", (_group_counts(), _people_counts())),
    Check("trip segments", "a trip is what its segment says", (_trips_and_segments(),)),
    Check("trip days", "a trip counts the files of its days", (_trips_and_days(),)),
    Check("events", "the last event of a cluster says what the cluster is", tuple(_events())),
    Check("edits", "people's edits are of clusters that are, or were", tuple(_edited())),
    Check(
        "reason",
        "a row was refused for a reason that is known",
        (
            Part(
                "rejected",
                f"SELECT project_name, reject_id, reason FROM rejected WHERE NOT ({one_of('reason', REASONS)})",
                ("rejected",),
            ),
        ),
    ),
    Check(
        "rows counted",
        "a run took in, or refused, every row that it read",
        (
            Part(
                "runs",
                "SELECT run_id, job, row_counts FROM runs WHERE status = 'Succeeded'",
                ("runs",),
                _counts_all,
            ),
        ),
    ),
)
