"""Faces found in pictures, as rows of `figures`: where they were before, whose are erased, and their ids.

Arrow tables of one dataset, of as many pictures as a job takes on at once.
"""

from __future__ import annotations

import uuid

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from schemas.figures import BOUNDARY, FIGURES, FOUND_ID, HEAD_POSE
from schemas.keys import FILE_KEY
from transforms.tables.keyed import key_codes, pair_rows, with_columns

FACES_OF_PICTURE = pa.list_(
    pa.struct(
        [
            pa.field("boundary", BOUNDARY),
            pa.field("head_pose", HEAD_POSE),
            pa.field("face_quality", pa.float32()),
            pa.field("embedding", pa.list_(pa.float32())),
        ]
    )
)
LOOKED_AT = pa.schema(
    [
        *((name, FIGURES.arrow_schema.field(name).type) for name in (*FILE_KEY, "object_id")),
        ("content_hash", pa.string()),
        ("perceptual_hash", pa.string()),
        ("perceptual_hash_quality", pa.int32()),
        ("image_width", pa.int32()),
        ("image_height", pa.int32()),
        ("faces", FACES_OF_PICTURE),
        ("model", pa.string()),
    ]
)
"""A picture that was looked at, and its faces."""

SAME_PLACE = 0.3
"""Overlap (intersection over union) from which a face is where another was."""
SAME_LOOK = 31
"""Bits by which the perceptual hashes of a picture and of a copy of it differ at most: PDQ's authors' threshold."""
LEAST_HASH_QUALITY = 50
"""A hash of less, of a flat picture, is like many."""

_SIDES = ("left", "top", "right", "bottom")
_AT_ONCE = 4_000_000
"""Pairs of pictures and erased places that are compared at once: 130 MB."""


def flatten_faces(looked_at: pa.Table) -> pa.Table:
    """One row per face of pictures (LOOKED_AT): their columns, the face's own, and its box as shares of the picture."""
    lists = looked_at["faces"].combine_chunks()
    rows = looked_at.drop_columns(["faces"]).take(pc.list_parent_indices(lists))
    faces = pc.list_flatten(lists)
    found = with_columns(rows, {name: faces.field(index) for index, name in enumerate(faces.type.names)})
    box = _corners(found)
    size = np.column_stack([found[name].to_numpy().astype(float) for name in ("image_width", "image_height")])
    shares = box / np.tile(np.maximum(size, 1), 2)
    return with_columns(found, {side: pa.array(shares[:, n], pa.float32()) for n, side in enumerate(_SIDES)})


def is_erased(faces: pa.Table, places: pa.Table) -> NDArray[np.bool_]:
    """Which faces (of flatten_faces) are where an erased one was (`places`: rows of FIGURE_PLACE, as columns).

    A face is where another was if their boxes overlap, in the same file, the same content, or pictures that look alike.
    """
    found = np.zeros(len(faces), np.bool_)
    if not len(faces) or not len(places):
        return found
    boxes, others = _shares(faces), _shares(places)
    hashes = _bits(faces, pc.greater_equal(faces["perceptual_hash_quality"], LEAST_HASH_QUALITY))
    erased_hashes = _bits(places)
    texts = [(_values(faces[name]), _values(places[name])) for name in ("uri", "content_hash")]
    step = max(1, _AT_ONCE // len(places))
    for start in range(0, len(faces), step):
        part = slice(start, start + step)
        is_same = np.zeros((len(boxes[part]), len(others)), np.bool_)
        for ours, theirs in texts:
            is_same |= (ours[part, None] == theirs[None]) & (ours[part, None] != "")
        differing = np.bitwise_count(hashes[0][part, None] ^ erased_hashes[0][None]).sum(axis=2)
        is_same |= (differing <= SAME_LOOK) & hashes[1][part, None] & erased_hashes[1][None]
        found[part] = (is_same & (_overlap(boxes[part, None], others[None]) >= SAME_PLACE)).any(axis=1)
    return found


def name_faces(faces: pa.Table, *, known: pa.Table) -> pa.Table:
    """The faces (of flatten_faces) with `figure_id`: that of the known one of the picture that was there, or a new one.

    `known` has rows of `figures`. Pairs are matched one to one by their overlap, best first. A new id is a UUID of the
    face's file and place, so that a repeated run makes the same.
    """
    ids: list[str | None] = [None] * len(faces)
    ours, theirs = key_codes(faces, known, key=FILE_KEY)
    new, old = pair_rows(ours, theirs)
    overlap = _overlap(_corners(faces)[new], _corners(known)[old])
    taken: set[int] = set()
    for n in np.lexsort((old, new, -overlap)):
        if overlap[n] >= SAME_PLACE and ids[new[n]] is None and old[n] not in taken:
            ids[new[n]] = known["figure_id"][int(old[n])].as_py()
            taken.add(int(old[n]))
    used = set(known["figure_id"].to_pylist())
    names = zip(*(faces[name].to_pylist() for name in (*FILE_KEY[1:], "boundary")), strict=True)
    named = [given or _new_id(name[:-1], name[-1], used) for given, name in zip(ids, names, strict=True)]
    return with_columns(faces, {"figure_id": pa.array(named, pa.string())})


def _new_id(file: tuple[str, ...], box: dict[str, int], used: set[str]) -> str:
    """An id of a face that no other has: of another model's face that was exactly there, the next."""
    place = ",".join(str(box[side]) for side in BOUNDARY.names)
    for generation in range(len(used) + 1):
        name = "\n".join((*file, place, *([str(generation)] if generation else [])))
        found = FOUND_ID + str(uuid.uuid5(uuid.NAMESPACE_URL, name))
        if found not in used:
            break
    used.add(found)
    return found


def _corners(faces: pa.Table) -> NDArray[np.float64]:
    """left, top, right, bottom (n, 4) of boxes in pixels; NaN where there is none."""
    boxes = faces["boundary"].combine_chunks()
    sides = [pc.struct_field(boxes, side).to_numpy(zero_copy_only=False).astype(float) for side in BOUNDARY.names]
    left, top, width, height = sides
    return np.column_stack([left, top, left + width, top + height])


def _shares(rows: pa.Table) -> NDArray[np.float64]:
    return np.column_stack([rows[side].to_numpy().astype(float) for side in _SIDES])


def _overlap(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of boxes (..., 4), as broadcast; 0 where one is not known."""
    low, high = np.maximum(one[..., :2], other[..., :2]), np.minimum(one[..., 2:], other[..., 2:])
    common = np.prod(np.clip(high - low, 0, None), axis=-1)
    area = sum(np.prod(box[..., 2:] - box[..., :2], axis=-1) for box in (one, other))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.nan_to_num(common / (area - common)))


def _values(column: pa.ChunkedArray) -> NDArray[np.str_]:
    """Texts, empty where there is none."""
    return np.array(pc.fill_null(column, "").to_pylist(), np.str_)


def _bits(rows: pa.Table, is_clear: pa.ChunkedArray | None = None) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Perceptual hashes as (n, 4) words, and which of them say something."""
    hashes = rows["perceptual_hash"].to_pylist()
    clear = [True] * len(hashes) if is_clear is None else pc.fill_null(is_clear, False).to_pylist()
    words = np.frombuffer(b"".join(bytes.fromhex(each or "0" * 64) for each in hashes), ">u8").reshape(-1, 4)
    return words.astype(np.uint64), np.array([bool(h) and c for h, c in zip(hashes, clear, strict=True)], np.bool_)
