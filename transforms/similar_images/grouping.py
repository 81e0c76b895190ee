"""Groups of similar pictures: from pairs and pictures to clusters and their members, within one process.

Tables in, tables out, of many datasets at once. `images` has a row per picture: FILE_KEY, `fingerprint`, `image_score`,
and what `files` says: `content_hash`, `shot_id`, `camera_make`, `camera_model`, `produce_time`, `image_width`,
`image_height`. `pairs` are rows of `similar_image_pairs`.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.cluster_kinds import GROUPS
from schemas.keys import CLUSTER_KEY, DATASET_KEY, FILE_KEY, FINGERPRINT_KEY, GROUP_KEY, PAIR_KEY
from transforms.clusters.changing import Clustering
from transforms.clusters.naming import PARTED, name_groups, positions_of
from transforms.graphs.whole import connect, group_table
from transforms.similar_images.pairing import ends_of
from transforms.tables.grouped import (
    first_of_each,
    gather_lists,
    holds,
    integers,
    is_equal,
    number_rows,
    ranks,
    select_as,
    starts_of,
    unnest,
)
from transforms.tables.keyed import (
    Bools,
    Ints,
    distinct,
    indices_or_null,
    inner_join,
    is_among,
    key_codes,
    semi_join,
    union_by_name,
    with_columns,
)

BURST_SECONDS = 3.0
"""Pictures of a burst are taken no further apart, from one to the next."""
_UNTIMED = np.iinfo(np.int64).min
_NODE = (*DATASET_KEY, "node")
_OTHER = (*DATASET_KEY, "other_fingerprint")


def decide_similar_images(
    groups: pa.Table, *, old_clusters: pa.Table, old_members: pa.Table, known_clusters: pa.Table | None = None
) -> Clustering:
    """The clusters of groups (group_images).

    `known_clusters` are `old_clusters`, and those others of the datasets that the names of new ones depend on
    (naming.clusters_of_looks).
    """
    known = old_clusters if known_clusters is None else known_clusters
    names = name_groups(groups, kind=GROUPS, old_members=old_members, old_clusters=known)
    return dress_groups(groups, names=names)


def dress_groups(groups: pa.Table, *, names: pa.Table) -> Clustering:
    """Groups with their names (naming.NAMES) as clusters; those without a name are left out."""
    members = describe_members(inner_join(groups, names, on=GROUP_KEY, columns=["object_id"]))
    schema = GROUPS.members.computed_schema
    return Clustering(GROUPS, members.select(schema.names).cast(schema), describe_groups(members), names)


def group_images(images: pa.Table, *, pairs: pa.Table, parted: pa.Table) -> pa.Table:
    """The pictures of groups of two or more, with `node`, `representative` (a node) and `similarity` to it.

    `pairs` are those within the thresholds; `parted` are the pictures that people parted from others (parted_images).
    """
    images, apart = part_images(images, parted=parted, pairs=pairs)
    return gather_members(images, stars=group_table(link_nodes(pairs, images=images, apart=apart), key=DATASET_KEY))


def is_within(pairs: pa.Table, *, max_distance: int, min_similarity: float, crops: bool) -> pa.Table:
    """The pairs that count for clustering."""
    by_hash = pc.and_(
        pc.is_in(pairs["signal"], pa.array(["hash", "turned"])), pc.less_equal(pairs["distance"], max_distance)
    )
    by_embedding = pc.and_(
        pc.equal(pairs["signal"], "embedding"), pc.greater_equal(pairs["similarity"], min_similarity)
    )
    within = holds(by_hash) | holds(by_embedding) | (is_equal(pairs["signal"], "crop") & crops)
    return pairs.filter(pa.array(within))


def linked_images(images: pa.Table, *, pairs: pa.Table) -> pa.Table:
    """The pictures that another one is similar to, or looks the same as: of the others no group can come."""
    (codes,) = key_codes(images, key=FINGERPRINT_KEY)
    is_shared = np.bincount(codes, minlength=1)[codes] >= 2
    return images.filter(pa.array(is_shared | is_among(images, ends_of(pairs), on=FINGERPRINT_KEY)))


def touched_looks(*changed: pa.Table, pairs: pa.Table | None = None) -> pa.Table:
    """The looks (FINGERPRINT_KEY) of which a file, its features or a pair came, went or is another now: each once.

    `changed` have a `fingerprint` a row: of features that changed, and of features whose files did; null where a
    picture has none. `pairs` are those that changed.
    """
    found = [rows.select(FINGERPRINT_KEY).filter(pc.is_valid(rows["fingerprint"])) for rows in changed]
    found += [] if pairs is None else [ends_of(pairs)]
    return distinct(union_by_name(*found), key=FINGERPRINT_KEY)


def connected_looks(looks: pa.Table, *, pairs: pa.Table) -> pa.Table:
    """`looks` (FINGERPRINT_KEY) and those that pairs connect with one of them, over however many others: each once."""
    component = (*DATASET_KEY, "component")
    nodes = connect(pairs, key=DATASET_KEY, with_centres=True)
    nodes = select_as(nodes, component, fingerprint="other_fingerprint")
    near = semi_join(nodes, semi_join(nodes, looks, on=FINGERPRINT_KEY), on=component).select(FINGERPRINT_KEY)
    return distinct(union_by_name(near, looks), key=FINGERPRINT_KEY)


def parted_images(edits: pa.Table) -> pa.Table:
    """The pictures that people parted from others: FILE_KEY and `apart`, fingerprints in order, a row.

    `edits` are rows of `cluster_edits` of this kind, with their bucket. A picture is rejoined with all at once.
    """
    edits = edits.filter(pc.is_in(edits["action"], pa.array(["part", "rejoin"])))
    (codes,) = key_codes(edits, key=FILE_KEY)
    first = first_of_each(codes)
    is_part = is_equal(edits["action"], "part")
    sequence, rejoined = integers(edits["sequence"], null=0), np.full(len(first), np.iinfo(np.int64).min)
    np.maximum.at(rejoined, codes[~is_part], sequence[~is_part])
    holds_still = np.flatnonzero(is_part & (sequence > rejoined[codes]))
    told = edits.select(["fingerprints"]).append_column("_code", pa.array(codes)).take(pa.array(holds_still))
    told = unnest(told, "fingerprints", to="fingerprint")
    apart = gather_lists(told["_code"].to_numpy(), told["fingerprint"], groups=len(first))
    found = edits.select(FILE_KEY).take(pa.array(first)).append_column("apart", apart)
    return found.filter(pc.is_valid(found["apart"]))


def part_images(images: pa.Table, *, parted: pa.Table, pairs: pa.Table) -> tuple[pa.Table, pa.Table]:
    """`images` with `node`, what stands for the picture in the graph; and what nodes are kept apart from.

    A node is the fingerprint, shared by all pictures that look the same, save for a picture that a person parted from
    others, which stands for itself. It is kept apart from these, and from what they are similar to: so no
    representative is similar to both. The second table has `node` and `fingerprint` of the dataset a row.
    """
    is_parted = is_among(images, parted, on=FILE_KEY)
    own = pc.binary_join_element_wise(images["fingerprint"], images["uri"], PARTED)
    images = images.append_column("node", pc.if_else(pa.array(is_parted), own, images["fingerprint"]))
    nodes = inner_join(parted, images, on=FILE_KEY, columns=["node"]).select([*_NODE, "apart"])
    from_these = unnest(nodes, "apart", to="fingerprint")
    there = select_as(pairs, FINGERPRINT_KEY, other="other_fingerprint")
    back = select_as(pairs, DATASET_KEY, fingerprint="other_fingerprint", other="fingerprint")
    similar = inner_join(from_these, union_by_name(there, back), on=FINGERPRINT_KEY, columns=["other"])
    apart = union_by_name(from_these, select_as(similar, _NODE, fingerprint="other"))
    return images, distinct(apart, key=(*_NODE, "fingerprint"))


def link_nodes(pairs: pa.Table, *, images: pa.Table, apart: pa.Table) -> pa.Table:
    """Pairs of fingerprints as pairs of the nodes that there are (part_images), without those kept apart.

    Columns: DATASET_KEY, `fingerprint` and `other_fingerprint` (nodes, the lesser first), `similarity`.
    """
    nodes = distinct(images.select([*_NODE, "fingerprint"]), key=_NODE)
    own = semi_join(nodes, apart, on=_NODE).select(FINGERPRINT_KEY)  # what looks the same is similar, too
    same = distinct(own, key=FINGERPRINT_KEY)
    same = with_columns(same, {"other_fingerprint": same["fingerprint"], "similarity": pa.scalar(1.0)})
    links = union_by_name(pairs.select([*PAIR_KEY, "similarity"]), same)
    linked = inner_join(links, nodes, on=FINGERPRINT_KEY, columns=["node"])
    others = select_as(nodes, DATASET_KEY, other_fingerprint="fingerprint", other="node")
    linked = inner_join(linked, others, on=_OTHER, columns=["other"])
    kept_apart = is_among(
        select_as(linked, _NODE, fingerprint="other_fingerprint"), apart, on=(*_NODE, "fingerprint")
    ) | is_among(select_as(linked, FINGERPRINT_KEY, node="other"), apart, on=(*_NODE, "fingerprint"))
    differ = holds(pc.not_equal(linked["node"], linked["other"]))
    linked = linked.filter(pa.array(~kept_apart & differ))
    is_less = pc.less(linked["node"], linked["other"])
    ends = {
        "fingerprint": pc.if_else(is_less, linked["node"], linked["other"]),
        "other_fingerprint": pc.if_else(is_less, linked["other"], linked["node"]),
    }
    return distinct(with_columns(linked, ends).select([*PAIR_KEY, "similarity"]), key=PAIR_KEY)


def gather_members(images: pa.Table, *, stars: pa.Table) -> pa.Table:
    """The pictures of groups of two or more: `images` (with `node`), `representative` (a node), `similarity` to it.

    `stars` has a row per node with a similar one (transforms.graphs.whole.group_table). Pictures of one node that
    nothing else is similar to are a group by themselves.
    """
    at = indices_or_null(positions_of(images, select_as(stars, DATASET_KEY, node="fingerprint"), on=_NODE))
    found = stars.select(["representative", "similarity"]).take(at)
    placed = {
        "representative": pc.coalesce(found["representative"], images["node"]),
        "similarity": pc.fill_null(found["similarity"], 1.0),
    }
    members = with_columns(images, placed)
    (codes,) = key_codes(members, key=GROUP_KEY)
    return members.filter(pa.array(np.bincount(codes)[codes] >= 2))


def describe_members(members: pa.Table) -> pa.Table:
    """Adds `kind`, `rank` and a total `image_score` to members of clusters (`object_id`).

    A copy has the content of a better member; `shot` is of the same shot as a better member, as a raw file and its JPEG
    are, and no copy that could go. Pictures of a burst come from one device, at different times no more than
    BURST_SECONDS from one to the next; where one of the two times has no fraction of a second, both are taken to the
    second, so that a copy that lost the fraction is no burst.
    """
    (clusters,) = key_codes(members, key=CLUSTER_KEY)
    scores = pc.coalesce(members["image_score"], resolution_score(members))
    rank = number_rows(clusters, -scores.to_numpy(zero_copy_only=False), ranks(members["uri"]))
    (contents,) = key_codes(members, key=(*CLUSTER_KEY, "content_hash"))
    is_copy = holds(pc.is_valid(members["content_hash"])) & (number_rows(contents, rank) > 1)
    (shots,) = key_codes(members, key=(*CLUSTER_KEY, "shot_id"))
    is_shot = holds(pc.is_valid(members["shot_id"])) & (number_rows(shots, rank) > 1)
    in_burst = holds(pc.is_valid(members["camera_model"])) & _is_near_in_time(members)
    kind = np.select([is_shot, is_copy, in_burst], ["shot", "copy", "burst"], "near-duplicate")
    described = {"image_score": scores, "rank": pa.array(rank, pa.int32()), "kind": pa.array(kind, pa.string())}
    return with_columns(members, described)


def _is_near_in_time(members: pa.Table) -> Bools:
    """Which pictures another one of the same cluster and device was taken soon before or after: bool (n,)."""
    (devices,) = key_codes(members, key=(*CLUSTER_KEY, "camera_make", "camera_model"))
    micros = integers(members["produce_time"], null=_UNTIMED)
    timed = np.flatnonzero(micros != _UNTIMED)
    rows = timed[np.lexsort([micros[timed], devices[timed]])]
    device, time = devices[rows], micros[rows]
    is_first = starts_of(device) | starts_of(time)  # of those taken at one time by one device
    moments = np.flatnonzero(is_first)
    near = np.zeros(len(moments), np.bool_)
    is_next = device[moments[1:]] == device[moments[:-1]]
    apart = _seconds_apart(time[moments[1:]], time[moments[:-1]])
    soon = is_next & (apart > 0) & (apart <= BURST_SECONDS)
    near[1:] |= soon
    near[:-1] |= soon
    found = np.zeros(len(members), np.bool_)
    found[rows] = near[np.cumsum(is_first) - 1]
    return found


def _seconds_apart(one: Ints, other: Ints) -> np.ndarray:
    """Seconds between times in microseconds, both cut to the second where one has no fraction."""
    whole = (one % 1_000_000 == 0) | (other % 1_000_000 == 0)
    one_s, other_s = one / 1_000_000, other / 1_000_000
    return np.abs(np.where(whole, np.floor(one_s) - np.floor(other_s), one_s - other_s))


def resolution_score(images: pa.Table) -> pa.ChunkedArray:
    """What the size in pixels alone says of a picture without a score: 0 to 1, for 12 megapixels and more.

    1 for a picture without a size, too.
    """
    width, height = (images[name].cast(pa.float64()) for name in ("image_width", "image_height"))
    megapixels = pc.divide(pc.multiply(width, height), 1e6)
    score = pc.divide(pc.divide(pc.ln(pc.add(megapixels, 1.0)), np.log(2.0)), np.log(13.0) / np.log(2.0))
    return pc.min_element_wise(score, 1.0)


def describe_groups(members: pa.Table) -> pa.Table:
    """One row per cluster of described members: `kind`, `files`, `cover_uri`, `first_time`, `last_time`."""
    (codes,) = key_codes(members, key=CLUSTER_KEY)
    cover = members.take(pa.array(first_of_each(codes, integers(members["rank"], null=0))))
    files = np.bincount(codes, minlength=len(cover))
    copies, bursts, shots = (
        np.bincount(codes[is_equal(members["kind"], kind)], minlength=len(cover)) for kind in ("copy", "burst", "shot")
    )
    pictures = files - shots  # what a shot has beside counts for none
    is_burst = (bursts >= 2) & (bursts + copies == pictures)
    kinds = [pictures == 1, copies == pictures - 1, is_burst]
    kind = np.select(kinds, ["shots", "copies", "burst"], "near-duplicates")
    micros = integers(members["produce_time"], null=_UNTIMED)
    timed = micros != _UNTIMED
    first, last = np.full(len(cover), np.iinfo(np.int64).max), np.full(len(cover), _UNTIMED)
    np.minimum.at(first, codes[timed], micros[timed])
    np.maximum.at(last, codes[timed], micros[timed])
    untimed, time = last == _UNTIMED, members.schema.field("produce_time").type
    described = {
        "kind": pa.array(kind, pa.string()),
        "files": pa.array(files.astype(np.int64)),
        "cover_uri": cover["uri"],
        "first_time": pa.array(first, pa.int64(), mask=untimed).cast(time),
        "last_time": pa.array(last, pa.int64(), mask=untimed).cast(time),
    }
    return with_columns(cover.select(CLUSTER_KEY), described)
