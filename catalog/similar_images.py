"""Similar-image clusters: finding them and their pictures, and what people decide about both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from catalog.clusters import ClusterQuery, query_clusters, resolve_states, undelete, why_missing
from catalog.edits import Action, Curated, append_edit, check_fields, overlay, read_edits
from catalog.lake import Lake, Row, Scope
from catalog.paging import MOST_RESULTS, Order, Page, Pager, Sorting, check_among, check_max_results, page_size
from catalog.sql import all_of, check_text, equals, one_of, relation
from schemas.cluster_kinds import GROUPS, ClusterKind
from schemas.errors import NotFound, UsageError
from schemas.similar_image_members import SIMILAR_IMAGE_MEMBERS

SORTS = {"UpdateTime": "update_time", "CreateTime": "create_time", "FilesCount": "files"}
KINDS = ("copies", "burst", "near-duplicates", "shots")
MEMBERS_SHOWN = 100
"""So many pictures come with a cluster; `files_of_cluster` pages through all."""
MOST_FINGERPRINTS = 1000
"""A picture can be parted from pictures of at most so many looks at once: they are kept in the edit."""
PAIRS_SHOWN = 100

_MEMBER = (*SIMILAR_IMAGE_MEMBERS.names, "kept")
_KEPT_FIRST = 2**40  # greater than any rank
_OPTIONS = {"keep": "--keep", "unkeep": "--unkeep", "part": "--not-similar", "rejoin": "--similar"}
_MARKED = {"keep": "to be kept", "part": "as not similar"}


@dataclass(frozen=True)
class SimilarImageQuery(ClusterQuery):
    """What clusters are asked for, in which order, and how many a page (0: as many as may be).

    What is left out does not matter.
    """

    kind_asked: ClassVar[ClusterKind] = GROUPS
    sorts: ClassVar[Mapping[str, str]] = SORTS

    order: Order = "desc"
    max_results: int = MOST_RESULTS
    kinds: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raises UsageError naming what is accepted."""
        object.__setattr__(self, "max_results", page_size(self.max_results))
        super().__post_init__()
        check_among("kind", self.kinds, KINDS)

    def own_conditions(self) -> Iterable[str]:
        """Kinds."""
        if self.kinds:
            yield one_of("kind", self.kinds)


@dataclass(frozen=True)
class Marks:
    """Decisions about members of a cluster, by uri.

    `keep`: it stays when duplicates are thrown away; `part`: it is not similar to the members that are not named with
    it. `unkeep` and `rejoin` undo them.
    """

    keep: tuple[str, ...] = ()
    unkeep: tuple[str, ...] = ()
    part: tuple[str, ...] = ()
    rejoin: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raises UsageError for decisions that contradict each other."""
        for one, other in (("keep", "unkeep"), ("keep", "part"), ("part", "rejoin")):
            both = set(getattr(self, one)) & set(getattr(self, other))
            if both:
                raise UsageError(f"{min(both)!r} is given to {_OPTIONS[one]} and to {_OPTIONS[other]}; give it to one")
        for uri in (*self.keep, *self.unkeep, *self.part, *self.rejoin):
            check_text(uri)

    def __bool__(self) -> bool:
        return bool(self.keep or self.unkeep or self.part or self.rejoin)


NO_MARKS = Marks()


@dataclass(frozen=True)
class Decisions:
    """What people decided that bears on the clusters of a scope.

    `states` is what is in force for each edited cluster; `parted` has the members that are hidden from a cluster, by
    its id; `kept` tells whether any picture of a dataset was ever marked to be kept.
    """

    states: Mapping[str, Curated]
    parted: Mapping[str, frozenset[str]]
    kept: frozenset[str]


def query_similar_images(lake: Lake, query: SimilarImageQuery, next_token: str | None = None) -> Page:
    """A page of the clusters that fit (IMM's QuerySimilarImageClusters), as people see them.

    Rows have the columns of `similar_image_clusters`, title, custom_id, custom_labels, and `members`: up to
    `MEMBERS_SHOWN` rows of `similar_image_members`, each with `kept`, those kept first, then the best. `files` counts
    all of them. Deleted clusters are left out, so are members that were parted, and clusters of fewer than two others.
    """
    decisions = read_decisions(lake, query.scope, query.object_id)
    page = query_clusters(lake, query, decisions.states, next_token)
    return replace(page, rows=_with_members(lake, page.rows, decisions))


def read_decisions(lake: Lake, scope: Scope, object_id: str | None = None) -> Decisions:
    """What people decided about the clusters of a scope; `object_id` bounds it to one.

    Even for one cluster the edits of the scope are read, as those of a cluster merged into it count, and decisions
    about a picture count wherever it is.
    """
    edits = read_edits(lake, scope, GROUPS.name)
    states = {
        key: state for key, state in resolve_states(lake, GROUPS, scope, edits).items() if object_id in (None, key)
    }
    apart = {edit["dataset_name"]: edit["edit_time"] for edit in edits if edit["action"] == "part"}
    parted: dict[str, frozenset[str]] = {}
    for row in _parted_members(lake, Scope(scope.project, tuple(apart)), object_id) if apart else ():
        key, uris = row["object_id"], frozenset(row["uris"])
        parted[key] = uris
        bare = Curated(key, scope.project, row["dataset_name"], {}, deleted=False, edit_time=apart[row["dataset_name"]])
        left = row["files"] - len(uris)
        states[key] = replace(states.get(key, bare), parted=len(uris), emptied=left < 2)
    kept = frozenset(edit["dataset_name"] for edit in edits if edit["action"] == "keep")
    return Decisions(states, parted, kept)


def find_cluster(lake: Lake, scope: Scope, object_id: str) -> Row:
    """The cluster as people see it. Raises NotFound saying what became of it, as far as the lake knows."""
    rows = query_similar_images(lake, SimilarImageQuery(scope, object_ids=(object_id,))).rows
    if not rows:
        unseen = (
            f"fewer than two pictures of cluster {object_id} are left, the others are said to be not similar; "
            f"`lakealbum update {GROUPS.name} {object_id} --similar URI` takes that back"
        )
        raise NotFound(why_missing(lake, GROUPS, scope, object_id, unseen))
    return rows[0]


def update_cluster(lake: Lake, scope: Scope, object_id: str, fields: Mapping[str, Any], marks: Marks = NO_MARKS) -> Row:
    """Replaces those given of title, custom_id, custom_labels and cover_uri ('' and {} clear), and marks members.

    Everything is checked before the first edit is written; each mark is an edit of its own. What holds already is not
    written again, so that a command that was interrupted can be repeated. Returns the cluster as it was; where marks
    are only taken back, a row of `similar_image_clusters` without members, as it may be hidden or gone by now.

    Raises UsageError where a value exceeds its limit, NotFound where the cluster is not there, or a picture not in it.
    """
    if not fields and not marks:
        raise UsageError("nothing to change: give a title, a custom id, labels, a cover, or pictures to mark")
    if fields:
        check_fields(fields)
    undoing = not (fields or marks.keep or marks.part)
    cluster = _find_any(lake, scope, object_id) if undoing else find_cluster(lake, scope, object_id)
    own = Scope(cluster["project_name"], (cluster["dataset_name"],))
    held = _marks_in_force(lake, own)
    for name, action in (("unkeep", "keep"), ("rejoin", "part")):
        for uri in getattr(marks, name):
            if (action, uri) not in held:
                raise NotFound(
                    f"{uri!r} is not marked {_MARKED[action]} in dataset {own.datasets[0]!r}: {_OPTIONS[name]} has "
                    "nothing to take back"
                )
    apart: list[str] = []
    parting: list[str] = []
    if not undoing:
        hidden = read_decisions(lake, own, object_id).parted.get(object_id, frozenset())
        parting = [uri for uri in dict.fromkeys(marks.part) if uri not in hidden]
        cover = fields.get("cover_uri")
        members = _check_members(lake, own, object_id, [*marks.keep, *parting, *([cover] if cover else [])], hidden)
        if cover in marks.part:
            raise UsageError(f"{cover!r} cannot be the cover and not similar at once")
        if parting:
            apart = _fingerprints_beside(lake, own, object_id, members.keys() & set(parting) | hidden)
    if fields:
        append_edit(lake, GROUPS.name, cluster, "update", **fields)
    actions: list[tuple[Action, Sequence[str]]] = [
        ("rejoin", marks.rejoin),
        ("unkeep", marks.unkeep),
        ("keep", [uri for uri in marks.keep if ("keep", uri) not in held]),
    ]
    for action, uris in actions:
        for uri in dict.fromkeys(uris):
            append_edit(lake, GROUPS.name, cluster, action, uri=uri)
    for uri in parting:
        append_edit(lake, GROUPS.name, cluster, "part", uri=uri, fingerprints=apart)
    return cluster


def delete_cluster(lake: Lake, scope: Scope, object_id: str) -> Row:
    """Hides a cluster for good; its pictures stay. Returns the cluster."""
    cluster = find_cluster(lake, scope, object_id)
    append_edit(lake, GROUPS.name, cluster, "delete")
    return cluster


def undelete_cluster(lake: Lake, scope: Scope, object_id: str) -> bool:
    """Undoes a deletion. Returns whether the cluster is seen again; else it has gone meanwhile.

    Raises NotFound where no deletion of it is in force.
    """
    undelete(lake, GROUPS, scope, object_id)
    return bool(query_similar_images(lake, SimilarImageQuery(scope, object_ids=(object_id,))).rows)


def files_of_cluster(
    lake: Lake,
    scope: Scope,
    object_id: str,
    max_results: int = 20,
    next_token: str | None = None,
    *,
    with_total: bool = False,
) -> Page:
    """A page of the pictures of a cluster, those kept first, then the best.

    Rows have the columns of `similar_image_members`, `kept`, and `file`: the row of `files`, None where it is missing.
    """
    check_max_results(max_results)
    cluster = find_cluster(lake, scope, object_id)
    own = Scope(cluster["project_name"], (cluster["dataset_name"],))
    sorting = Sorting("place", "uri")
    pager = Pager(lake.token_key, {"kind": "files of a cluster", "object_id": object_id}, sorting, max_results)
    members = _members(lake, own, [object_id], read_decisions(lake, own, object_id))
    statement = (
        f"SELECT * FROM ({members}) WHERE {sorting.after(pager.position(next_token))} "
        f"{sorting.clause} LIMIT {max_results + 1}"
    )
    page = pager.page(lake.read(statement, "similar_image_members", "cluster_edits"))
    where = all_of([own.condition(lake), one_of("uri", [row["uri"] for row in page.rows])])
    files = {row["uri"]: row for row in lake.read(f"SELECT * FROM files WHERE {where}", "files")}
    total = lake.count(f"({members})", "similar_image_members", "cluster_edits") if with_total else None
    return Page([row | {"file": files.get(row["uri"])} for row in page.rows], page.next_token, total)


def members_for_explanation(lake: Lake, cluster: Row) -> list[Row]:
    """The best members of a cluster, up to `MEMBERS_SHOWN`, parted ones among them; `kept` and `parted` tell.

    `cluster` is a row of `similar_image_clusters`.
    """
    own = Scope(cluster["project_name"], (cluster["dataset_name"],))
    object_id = cluster["object_id"]
    decisions = read_decisions(lake, own, object_id)
    parted = decisions.parted.get(object_id, frozenset())
    members = _members(lake, own, [object_id], replace(decisions, parted={}))
    statement = f"SELECT * FROM ({members}) ORDER BY place, uri LIMIT {MEMBERS_SHOWN}"
    rows = lake.read(statement, "similar_image_members", "cluster_edits")
    return [{name: row[name] for name in _MEMBER} | {"parted": row["uri"] in parted} for row in rows]


def pairs_of_cluster(lake: Lake, cluster: Row) -> list[Row]:
    """The most alike verified pairs among the members of a cluster, up to `PAIRS_SHOWN`.

    Rows are those of `similar_image_pairs` with the best member of either fingerprint, `uri` and `other_uri`.
    """
    own = Scope(cluster["project_name"], (cluster["dataset_name"],)).condition(lake)
    best = (
        "SELECT fingerprint AS look, uri AS {uri} FROM (SELECT fingerprint, uri, row_number() OVER "
        "(PARTITION BY fingerprint ORDER BY rank, uri) AS place FROM similar_image_members "
        f"WHERE {all_of([own, equals('object_id', cluster['object_id'])])}) WHERE place = 1"
    )
    return lake.read(
        "SELECT one.uri, other.other_uri, signal, distance, similarity, fingerprint, other_fingerprint "
        f"FROM (SELECT * FROM similar_image_pairs WHERE {own}) AS pairs "
        f"JOIN ({best.format(uri='uri')}) AS one ON pairs.fingerprint = one.look "
        f"JOIN ({best.format(uri='other_uri')}) AS other ON pairs.other_fingerprint = other.look "
        f"ORDER BY similarity DESC, fingerprint, other_fingerprint LIMIT {PAIRS_SHOWN}",
        "similar_image_pairs",
        "similar_image_members",
    )


def _with_members(lake: Lake, rows: list[Row], decisions: Decisions) -> list[Row]:
    """Clusters with the members that people see, and the cover that follows from them."""
    if not rows:
        return []
    own = Scope(rows[0]["project_name"], tuple(row["dataset_name"] for row in rows))
    chosen = [(row["object_id"], _chosen_cover(row, decisions)) for row in rows]
    numbered = (
        "SELECT *, row_number() OVER (PARTITION BY object_id ORDER BY place, uri) AS number "
        f"FROM ({_members(lake, own, [row['object_id'] for row in rows], decisions)})"
    )
    shown = lake.read(
        f"SELECT * FROM ({numbered}) JOIN {relation('chosen', ('cluster', 'cover'), chosen)} ON object_id = cluster "
        f"WHERE number <= {MEMBERS_SHOWN} OR uri = cover ORDER BY object_id, number",
        "similar_image_members",
        "cluster_edits",
    )
    members: dict[str, list[Row]] = {row["object_id"]: [] for row in rows}
    covers = {row["object_id"]: row["cover_uri"] for row in rows}
    for member in shown:
        if member["number"] == 1 or member["uri"] == member["cover"]:  # the chosen one, if it still is a member
            covers[member["object_id"]] = member["uri"]
        if member["number"] <= MEMBERS_SHOWN:
            members[member["object_id"]].append({name: member[name] for name in _MEMBER})
    return [row | {"members": members[row["object_id"]], "cover_uri": covers[row["object_id"]]} for row in rows]


def _chosen_cover(row: Row, decisions: Decisions) -> str:
    state = decisions.states.get(row["object_id"])
    return (state and state.value("cover_uri")) or ""


def _members(lake: Lake, scope: Scope, object_ids: Iterable[str], decisions: Decisions) -> str:
    """The members of clusters that people see, in SQL: `kept`, and `place`, which puts those kept first."""
    ids = list(object_ids)
    hidden = [
        f"NOT ({equals('object_id', key)} AND {one_of('uri', sorted(decisions.parted[key]))})"
        for key in ids
        if key in decisions.parted
    ]
    where = all_of([scope.condition(lake), one_of("object_id", ids), *hidden])
    members = f"SELECT * FROM similar_image_members WHERE {where}"
    if not decisions.kept & set(scope.datasets):
        return f"SELECT *, FALSE AS kept, CAST(rank AS BIGINT) AS place FROM ({members})"
    kept = (
        "SELECT dataset_name AS kept_dataset, uri AS kept_uri FROM (SELECT dataset_name, uri, action, row_number() "
        "OVER (PARTITION BY dataset_name, uri ORDER BY sequence DESC) AS age FROM cluster_edits "
        f"WHERE {_edits_of(lake, scope, 'keep', 'unkeep')}) WHERE age = 1 AND action = 'keep'"
    )
    return (
        "SELECT members.*, kept_uri IS NOT NULL AS kept, "
        f"CAST(rank AS BIGINT) - CASE WHEN kept_uri IS NULL THEN 0 ELSE {_KEPT_FIRST} END AS place "
        f"FROM ({members}) AS members LEFT JOIN ({kept}) AS kept "
        "ON dataset_name = kept_dataset AND uri = kept_uri"
    )


def _parted_members(lake: Lake, scope: Scope, object_id: str | None) -> list[Row]:
    """The clusters with members that people parted from others that are in it: `uris`, and `files` of all.

    What a picture was parted from adds up until it is taken back.
    """
    conditions = [scope.condition(lake)] + ([equals("object_id", object_id)] if object_id else [])
    members = f"SELECT dataset_name, object_id, uri, fingerprint FROM similar_image_members WHERE {all_of(conditions)}"
    apart = (
        "SELECT dataset_name AS apart_dataset, uri AS apart_uri, unnest(fingerprints) AS look FROM ("
        "SELECT *, max(CASE WHEN action = 'rejoin' THEN sequence END) "
        "OVER (PARTITION BY dataset_name, uri) AS rejoined FROM cluster_edits "
        f"WHERE {_edits_of(lake, scope, 'part', 'rejoin')}) WHERE action = 'part' AND sequence > coalesce(rejoined, -1)"
    )
    clusters = f"SELECT object_id AS id, files FROM similar_image_clusters WHERE {all_of([*conditions, GROUPS.live])}"
    return lake.read(
        "SELECT one.dataset_name, one.object_id, files, array_agg(DISTINCT one.uri) AS uris "
        f"FROM ({members}) AS one "
        f"JOIN ({apart}) AS apart ON one.dataset_name = apart_dataset AND one.uri = apart_uri "
        f"JOIN ({members}) AS other ON one.object_id = other.object_id AND other.fingerprint = look "
        f"JOIN ({clusters}) AS clusters ON one.object_id = id "
        "WHERE one.uri <> other.uri GROUP BY one.dataset_name, one.object_id, files",
        "similar_image_members",
        "similar_image_clusters",
        "cluster_edits",
    )


def _marks_in_force(lake: Lake, own: Scope) -> set[tuple[str, str]]:
    """The (action, uri) of pictures of a dataset that are marked: keep, part."""
    held: set[tuple[str, str]] = set()
    undone = {"unkeep": "keep", "rejoin": "part"}
    for edit in read_edits(lake, own, GROUPS.name):
        if edit["action"] in ("keep", "part"):
            held.add((edit["action"], edit["uri"]))
        elif edit["action"] in undone:
            held.discard((undone[edit["action"]], edit["uri"]))
    return held


def _check_members(
    lake: Lake, own: Scope, object_id: str, uris: Iterable[str], hidden: Iterable[str]
) -> dict[str, str]:
    """The fingerprints of pictures, by uri. Raises NotFound for one that is not, as people see it, in the cluster."""
    wanted = sorted(set(uris))
    where = all_of([own.condition(lake), equals("object_id", object_id), one_of("uri", wanted)])
    rows = lake.read(f"SELECT uri, fingerprint FROM similar_image_members WHERE {where}", "similar_image_members")
    found = {row["uri"]: row["fingerprint"] for row in rows if row["uri"] not in set(hidden)}
    for uri in wanted:
        if uri not in found:
            raise NotFound(
                f"{uri!r} is not a picture of cluster {object_id}; those that are: "
                f"`lakealbum query files --cluster {object_id}`"
            )
    return found


def _fingerprints_beside(lake: Lake, own: Scope, object_id: str, others: Iterable[str]) -> list[str]:
    """What the members look like, but for some of them. Raises UsageError for none, or too many."""
    where = all_of([own.condition(lake), equals("object_id", object_id), f"NOT ({one_of('uri', sorted(others))})"])
    rows = lake.read(
        f"SELECT DISTINCT fingerprint FROM similar_image_members WHERE {where} "
        f"ORDER BY fingerprint LIMIT {MOST_FINGERPRINTS + 1}",
        "similar_image_members",
    )
    if not rows:
        raise UsageError(
            "no picture would stay: name those that do not belong to the others; "
            f"`lakealbum delete {GROUPS.name} {object_id}` hides the whole cluster"
        )
    if len(rows) > MOST_FINGERPRINTS:
        raise UsageError(
            f"the other pictures of cluster {object_id} have over {MOST_FINGERPRINTS:,} different looks; a picture can "
            f"be parted from up to {MOST_FINGERPRINTS:,}. Cluster with a stricter threshold first"
        )
    return [row["fingerprint"] for row in rows]


def _find_any(lake: Lake, scope: Scope, object_id: str) -> Row:
    """The row of a cluster, whatever became of it. Raises NotFound where there never was one."""
    where = all_of([scope.condition(lake), equals("object_id", object_id)])
    rows = lake.read(f"SELECT * FROM similar_image_clusters WHERE {where}", "similar_image_clusters")
    if not rows:
        raise NotFound(why_missing(lake, GROUPS, scope, object_id, ""))
    return overlay(rows[0], None)


def _edits_of(lake: Lake, scope: Scope, *actions: str) -> str:
    return all_of([scope.condition(lake, bucketed=False), equals("kind", GROUPS.name), one_of("action", actions)])
