"""Ids that are made of names, and the greedy matching of old and new by which ids outlive a clustering."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from transforms.tables.machine import kernel

_HEX = np.array([f"{byte:02x}" for byte in range(256)], "S2")
_GROUPS = (4, 2, 2, 2, 6)
"""Bytes between the hyphens of a UUID."""


def uuid5(namespace: uuid.UUID, *parts: pa.ChunkedArray | pa.Array) -> pa.Array:
    r"""RFC 9562 UUID version 5 of columns of text or whole numbers, joined by line feeds, as uuid.uuid5 gives it.

    >>> import pyarrow as pa
    >>> uuid5(uuid.NAMESPACE_URL, pa.array(["ada"]), pa.array([1]))[0].as_py() == str(
    ...     uuid.uuid5(uuid.NAMESPACE_URL, "ada\n1"))
    True
    """
    names = pc.binary_join_element_wise(*(pc.cast(part, pa.string()) for part in parts), "\n")
    prefix = namespace.bytes
    digests = b"".join(hashlib.sha1(prefix + name.encode()).digest()[:16] for name in names.to_pylist())
    octets = np.frombuffer(digests, np.uint8).reshape(-1, 16).copy()
    octets[:, 6] = octets[:, 6] & 0x0F | 0x50
    octets[:, 8] = octets[:, 8] & 0x3F | 0x80
    return _format(octets)


def _format(octets: NDArray[np.uint8]) -> pa.Array:
    """The texts of UUIDs, each 16 octets: (n, 16)."""
    text = np.full((len(octets), 36), ord("-"), np.uint8)
    digits = _HEX[octets].view(np.uint8).reshape(len(octets), 32)
    at = done = 0
    for size in _GROUPS:
        text[:, at : at + 2 * size] = digits[:, done : done + 2 * size]
        at, done = at + 2 * size + 1, done + 2 * size
    offsets = np.arange(len(octets) + 1, dtype=np.int32) * 36
    return pa.Array.from_buffers(pa.string(), len(octets), [None, pa.py_buffer(offsets), pa.py_buffer(text.tobytes())])


def match_greedily(left: NDArray[np.int64], right: NDArray[np.int64], *, order: Sequence[NDArray]) -> NDArray[np.int64]:
    """The pairs (positions, ascending) that are taken, each of either side once: by `order`, its first array first.

    `left` and `right` are dense codes. Pairs of different units may be mixed, as long as no code is of two units.
    """
    if not len(left):
        return np.zeros(0, np.int64)
    by_rank = np.lexsort(list(reversed(order)))
    taken = take_in_order(left[by_rank], right[by_rank])
    return np.sort(by_rank[taken])


@kernel
def take_in_order(left, right):
    """Which pairs are taken, in their order, if each of either side is taken once. int64 (n,), (n,) to bool (n,)."""
    has_left, has_right = np.zeros(left.max() + 1, np.bool_), np.zeros(right.max() + 1, np.bool_)
    taken = np.zeros(len(left), np.bool_)
    for pair in range(len(left)):
        if not has_left[left[pair]] and not has_right[right[pair]]:
            taken[pair] = has_left[left[pair]] = has_right[right[pair]] = True
    return taken
