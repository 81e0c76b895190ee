"""Who the people of some libraries are, by groups of faces and by what people decided about them.

Tables in, tables out, of many datasets at once. `faces` has a row per face that there is: FACE_KEY, `uri`,
`media_type`, `age`, `gender`, `face_quality`. `edits` are rows of `cluster_edits` of this kind, with their bucket.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.cluster_kinds import PEOPLE
from schemas.figures import MIN_QUALITY, MIN_SIDE
from schemas.keys import CLUSTER_KEY, DATASET_KEY, FACE_KEY, GROUP_KEY
from transforms.clusters.changing import Clustering
from transforms.clusters.naming import NAMES, name_groups, positions_of
from transforms.tables.grouped import (
    count_distinct,
    first_of_each,
    holds,
    integers,
    is_equal,
    ranks,
    select_as,
    unnest,
)
from transforms.tables.keyed import (
    Bools,
    anti_join,
    distinct,
    indices_or_null,
    inner_join,
    is_among,
    key_codes,
    left_join,
    look_up,
    semi_join,
    union_by_name,
    with_columns,
)

MOST_DOUBLINGS = 20
"""A line of a million heirs is followed to its end in so many."""
_MEMBER = (*FACE_KEY, "uri", "object_id", "confidence", "role")


def decide_people(
    groups: pa.Table, *, faces: pa.Table, edits: pa.Table, old_clusters: pa.Table, old_members: pa.Table
) -> Clustering:
    """The people of the datasets of `faces`.

    `groups` has a row per face of a group: FACE_KEY, `representative`, `confidence`, `role` (group_libraries).
    `old_clusters` and `old_members` are all rows of these datasets.

    In this order: groups follow the people that there were; people whom people merged become one; those whom no group
    follows stay; faces go where people put them.
    """
    decisions = Decisions.of(edits, old_clusters=old_clusters)
    owned = old_members.filter(pc.is_valid(old_members["object_id"]))
    groups = inner_join(groups, faces, on=FACE_KEY, columns=["uri"])
    groups = groups.append_column("node", groups["figure_id"])  # a face stands for itself
    several = distinct(select_as(decisions.merged, DATASET_KEY, object_id="into"), key=CLUSTER_KEY)
    names = name_groups(groups, kind=PEOPLE, old_members=owned, old_clusters=old_clusters, several=several)
    members = left_join(groups, names, on=GROUP_KEY, columns=["object_id"]).select(_MEMBER)
    merged = _resolve(members, decisions.merged)
    restored = restore_members(decisions, old_clusters=old_clusters, faces=faces)
    before = union_by_name(restored, anti_join(owned.select(_MEMBER), restored, on=FACE_KEY))
    staying = stay_people(merged, old_members=before, faces=faces)
    decided = decide_members(union_by_name(merged, staying), decisions=decisions, faces=faces)
    independent = anti_join(faces.select([*FACE_KEY, "uri"]), decided, on=FACE_KEY)
    schema = PEOPLE.members.computed_schema
    nobody = {name: pa.nulls(len(independent), schema.field(name).type) for name in _MEMBER[-3:]}
    people = inner_join(decided, faces, on=FACE_KEY, columns=["media_type", "age", "gender", "face_quality"])
    return Clustering(
        PEOPLE,
        members=union_by_name(decided.select(schema.names).cast(schema), with_columns(independent, nobody)),
        groups=describe_people(people),
        names=name_people(decided, names=names, old_clusters=old_clusters),
    )


@dataclass(frozen=True)
class Decisions:
    """What people decided about the faces of some datasets.

    `chosen` and `barred` have FACE_KEY and `object_id`: the face is that person's, or is not. `merged` has CLUSTER_KEY
    and `into`: all faces of a person are another's. `unmerged` are the people (CLUSTER_KEY) of whom that is no longer
    so.
    """

    chosen: pa.Table
    barred: pa.Table
    merged: pa.Table
    unmerged: pa.Table

    @classmethod
    def of(cls, edits: pa.Table, *, old_clusters: pa.Table) -> Decisions:
        """What is in force by edits: the last about a face and a person.

        People who went stand for those who took most of their faces (`old_clusters`).
        """
        merges = _last(edits, ("merge", "unmerge"), by=CLUSTER_KEY)
        is_merge = is_equal(merges["action"], "merge")
        unmerged = merges.filter(pa.array(~is_merge)).select(CLUSTER_KEY)
        merges = select_as(merges.filter(pa.array(is_merge)), CLUSTER_KEY, into="other_id")
        has_heir = holds(pc.is_valid(old_clusters["successor_id"])) & is_equal(old_clusters["state"], "gone")
        went = select_as(old_clusters.filter(pa.array(has_heir)), CLUSTER_KEY, into="successor_id")
        heirs = _follow(union_by_name(merges, anti_join(went, merges, on=CLUSTER_KEY)))
        last = _last(edits, ("join", "leave", "part", "rejoin"), by=(*FACE_KEY, "object_id"))
        last = _resolve(last, heirs)
        joined = last.filter(pa.array(is_equal(last["action"], "join")))
        chosen = joined.take(pa.array(_latest(joined, by=FACE_KEY)))
        barred = last.filter(pa.array(is_equal(last["action"], "part"))).select([*FACE_KEY, "object_id"])
        return cls(
            chosen=chosen.select([*FACE_KEY, "object_id"]),
            barred=distinct(barred, key=barred.column_names),
            merged=semi_join(heirs, merges, on=CLUSTER_KEY),
            unmerged=unmerged,
        )


def _last(edits: pa.Table, actions: tuple[str, ...], *, by: tuple[str, ...]) -> pa.Table:
    """The last of the edits of some actions about the same."""
    told = edits.filter(pc.is_in(edits["action"], pa.array(actions)))
    return told.take(pa.array(_latest(told, by=by)))


def _latest(edits: pa.Table, *, by: tuple[str, ...]) -> np.ndarray:
    (codes,) = key_codes(edits, key=by)
    return first_of_each(codes, -integers(edits["sequence"], null=0))


def _follow(heirs: pa.Table) -> pa.Table:
    """Heirs (CLUSTER_KEY, `into`) followed to the last of each line, by doubling; of a ring nobody is the heir."""
    from_, to = key_codes(heirs, select_as(heirs, DATASET_KEY, object_id="into"), key=CLUSTER_KEY)
    into = np.arange(len(heirs))  # the row whose `into` is the heir so far
    after = look_up(to, from_)  # the row of the heir's own heir, -1 for none
    for _ in range(MOST_DOUBLINGS):
        further = after >= 0
        if not further.any():
            break
        into, after = np.where(further, into[after], into), np.where(further, after[after], after)
    found = with_columns(heirs, {"into": heirs["into"].take(pa.array(into))})
    return found.filter(pc.not_equal(found["into"], found["object_id"]))


def _resolve(rows: pa.Table, heirs: pa.Table) -> pa.Table:
    """Rows about people as rows about their heirs."""
    into = heirs["into"].take(indices_or_null(positions_of(rows, heirs, on=CLUSTER_KEY)))
    return with_columns(rows, {"object_id": pc.coalesce(into, rows["object_id"])})


def name_people(members: pa.Table, *, names: pa.Table, old_clusters: pa.Table) -> pa.Table:
    """The names (NAMES) of the people of `members`, one row each: those of groups, else what they were before.

    A person of several groups, which people merged, has the representative of one of them; one whom no group follows
    that of before.
    """
    either = pa.concat_tables([names.select(NAMES), old_clusters.select(NAMES).cast(names.select(NAMES).schema)])
    turn = np.repeat([0, 1], [len(names), len(old_clusters)])
    is_theirs = is_among(either, members, on=CLUSTER_KEY)
    either, turn = either.filter(pa.array(is_theirs)), turn[is_theirs]
    (codes,) = key_codes(either, key=CLUSTER_KEY)
    order = [
        ranks(either["representative"]),
        integers(either["generation"], null=-1),
        ranks(either["anchor"]),
        ranks(either["origin_id"]),
    ]
    return either.take(pa.array(first_of_each(codes, turn, *order)))


def restore_members(decisions: Decisions, *, old_clusters: pa.Table, faces: pa.Table) -> pa.Table:
    """The faces that people had before they were merged, of those who went and were unmerged since.

    FACE_KEY, `uri`, `object_id`, `confidence` and `role` a row; of `faces`, which has those that there are. As a person
    who went remembers no more than some of the faces, and not how they came, all count as joined, without doubt. A face
    that several remember is of the one who went last, ties to the lesser id.
    """
    went = old_clusters.filter(pa.array(is_equal(old_clusters["state"], "gone")))
    went = semi_join(went, decisions.unmerged, on=CLUSTER_KEY).select([*CLUSTER_KEY, "update_time", PEOPLE.last])
    there = inner_join(unnest(went, PEOPLE.last, to="figure_id"), faces, on=FACE_KEY, columns=["uri"])
    (codes,) = key_codes(there, key=FACE_KEY)
    one = first_of_each(codes, -integers(there["update_time"], null=0), ranks(there["object_id"]))
    told = {"confidence": pa.scalar(1.0), "role": pa.scalar("joined")}
    return with_columns(there.take(pa.array(one)), told).select(_MEMBER)


def stay_people(members: pa.Table, *, old_members: pa.Table, faces: pa.Table) -> pa.Table:
    """The faces of people whom no group follows, and who stay: the columns of `members`.

    A person once founded stays until all images are gone. So one whose founders went, or are too few by now, keeps the
    faces that are there and nobody else's; unless most of those are somebody else's now: then the person went into
    that one.
    """
    there = anti_join(semi_join(old_members, faces, on=FACE_KEY), members, on=CLUSTER_KEY)
    (codes,) = key_codes(there, key=CLUSTER_KEY)
    taken = is_among(there, members, on=FACE_KEY)
    stays = np.bincount(codes[taken], minlength=codes.max(initial=-1) + 1) * 2 < np.bincount(codes)
    return there.filter(pa.array(~taken & stays[codes]))


def decide_members(members: pa.Table, *, decisions: Decisions, faces: pa.Table) -> pa.Table:
    """Members (FACE_KEY, `uri`, `object_id`, `confidence`, `role`) as people decided them.

    A face that people barred from its person is of nobody then. One that they chose is that person's, whatever its
    embedding says, with confidence 1. `faces` has the faces that there are.
    """
    left = anti_join(members, decisions.barred, on=(*FACE_KEY, "object_id"))
    left = anti_join(left, decisions.chosen, on=FACE_KEY)
    given = inner_join(faces.select([*FACE_KEY, "uri"]), decisions.chosen, on=FACE_KEY, columns=["object_id"])
    given = with_columns(given, {"confidence": pa.scalar(1.0), "role": pa.scalar("chosen")})
    return union_by_name(left, given)


def describe_people(members: pa.Table) -> pa.Table:
    """One row per person, with the columns that `figure_clusters` alone has, but the representative.

    `members` has CLUSTER_KEY, `figure_id`, `uri`, `role`, the face's `age`, `gender` and `face_quality`, and the file's
    `media_type`. The cover is the face of the highest quality, of a picture rather than a video, ties by figure_id.
    """
    (codes,) = key_codes(members, key=CLUSTER_KEY)
    count = codes.max(initial=-1) + 1
    is_image = is_equal(members["media_type"], "image")
    quality = pc.fill_null(members["face_quality"].cast(pa.float64()), -1.0).to_numpy(zero_copy_only=False)
    cover = members.take(pa.array(first_of_each(codes, ~is_image, -quality, ranks(members["figure_id"]))))
    files = ranks(members["uri"])

    def count_rows(holds: Bools) -> np.ndarray:
        return np.bincount(codes[holds], minlength=count)

    def count_files(holds: Bools) -> pa.Array:
        return pa.array(count_distinct(codes[holds], files[holds], groups=count))

    age, is_aged = integers(members["age"], null=0), holds(pc.is_valid(members["age"]))
    aged = count_rows(is_aged)
    least, most = np.full(count, np.iinfo(np.int32).max), np.full(count, np.iinfo(np.int32).min)
    np.minimum.at(least, codes[is_aged], age[is_aged])
    np.maximum.at(most, codes[is_aged], age[is_aged])
    total = np.bincount(codes[is_aged], weights=age[is_aged], minlength=count)
    female, male = (count_rows(is_equal(members["gender"], gender)) for gender in ("female", "male"))
    gender = pa.array(np.where(female >= male, "female", "male"), pa.string(), mask=female + male == 0)
    everyone = np.ones(len(members), np.bool_)
    described = {
        "faces": pa.array(count_rows(everyone)),
        "founders": pa.array(count_rows(is_equal(members["role"], "founder"))),
        "files": count_files(everyone),
        "images": count_files(is_image),
        "videos": count_files(is_equal(members["media_type"], "video")),
        "min_age": pa.array(least, pa.int32(), mask=aged == 0),
        "max_age": pa.array(most, pa.int32(), mask=aged == 0),
        "average_age": pa.array(total / np.maximum(aged, 1), mask=aged == 0),
        "gender": gender,
        "cover_figure_id": cover["figure_id"],
        "cover_uri": cover["uri"],
    }
    return with_columns(cover.select(CLUSTER_KEY), described)


def is_good(faces: pa.Table, max_angle: float) -> pa.ChunkedArray:
    """Whether a face (a row of `figures`) can found a person: schemas.figures.is_good_sql. False if any is missing."""
    sides = [pc.greater(pc.struct_field(faces["boundary"], side), MIN_SIDE) for side in ("width", "height")]
    angles = [
        pc.less(pc.abs(pc.struct_field(faces["head_pose"], angle)), pa.scalar(max_angle, pa.float32()))
        for angle in ("yaw", "pitch", "roll")
    ]
    over = pc.greater(faces["face_quality"], pa.scalar(np.float32(MIN_QUALITY), pa.float32()))
    good = pc.is_valid(faces["embedding"])
    for asked in (*sides, *angles, over):
        good = pc.and_(good, pc.fill_null(asked, False))
    return good
