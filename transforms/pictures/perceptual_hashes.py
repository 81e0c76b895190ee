"""Perceptual hashes of pictures: what they look like, in few bits.

Source: PDQ (Facebook, "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm", 2019).
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

import numpy as np
import pdqhash
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from schemas.file_features import CROPS, FEATURES, THUMBNAIL_SIDE
from schemas.keys import FILE_KEY
from transforms.clusters.naming import positions_of
from transforms.tables.digests import xxhash64
from transforms.tables.keyed import indices_or_null, same_values, with_columns

MIN_HASH_QUALITY = 50
"""Hashes below are of flat pictures, alike whatever they show: no match, by PDQ's authors."""
CONTENT = "content:"
"""How the fingerprint of a picture begins that is told by its content."""

# PDQ averages over windows of 1/128 of each side, in whole pixels; even ones, and sides that are no multiple of 64 or
# an even one, shift the picture by a part of a pixel, which changes up to a tenth of the bits. 320 is free of that.
_SIDE = 320


@dataclass(frozen=True)
class PictureHashes:
    """What a picture looks like; table `file_features` says what each column holds."""

    perceptual_hash: str
    perceptual_hash_quality: int
    crop_hashes: bytes
    turned_hashes: bytes | None
    thumbnail: bytes


def hash_picture(luminance: Image.Image, *, turned: bool = False) -> PictureHashes:
    """Hash a picture, given its luminance (mode `L`), turned as displayed.

    `perceptual_hash` is PDQ as its tools print it: 64 hex digits, the first the highest bits. `crop_hashes` (4 x 32
    bytes) are those of the centre crops in the order of `CROPS`. `turned_hashes` (7 x 32 bytes, only if asked for):
    rotated by 90, 180, 270 degrees, flipped vertically, horizontally, along either diagonal, which is the order of
    `pdqhash.compute_dihedral`. `thumbnail` is 32 x 32 luminances.

    The picture is squashed to 320 x 320, the thumbnail to its own size, each pixel the average of what it covers. That
    changes a median of 6 bits of 256, and at most 22 (of 105 real photographs of quality 50 or more), against PDQ of
    the picture in full size, which itself shifts the picture according to its sides. Time: 8 ms. Memory: 3 MB.
    """
    square = _squash(luminance, 1.0)
    if turned:
        vectors, quality = pdqhash.compute_dihedral(square)
    else:
        vector, quality = pdqhash.compute(square)
        vectors = [vector]
    crops = [pdqhash.compute(_squash(luminance, share))[0] for share in CROPS]
    return PictureHashes(
        perceptual_hash=_packed(vectors[:1]).hex(),
        perceptual_hash_quality=int(quality),
        crop_hashes=_packed(crops),
        turned_hashes=_packed(vectors[1:]) if turned else None,
        thumbnail=luminance.resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BOX).tobytes(),
    )


def fingerprints(pictures: pa.Table) -> pa.ChunkedArray:
    """What pictures look like, each as one text: those of one fingerprint count as one where similar ones are sought.

    >>> rows = [("ab", 50, "c0", [0.5]), ("ab", None, "c0", None), ("ab", 49, "c0", None), ("ab", 49, None, [0.5])]
    >>> hashes, qualities, contents, embeddings = zip(*rows)
    >>> told = {"perceptual_hash": hashes, "perceptual_hash_quality": qualities, "content_hash": contents}
    >>> pictures = pa.table({**told, "embedding": pa.array(embeddings, pa.list_(pa.float32()))})
    >>> fingerprints(pictures).to_pylist()
    ['ab/17ad2af110d8d75a', 'ab', 'content:c0', '/17ad2af110d8d75a']
    """
    quality, nothing = pictures["perceptual_hash_quality"], pa.scalar(None, pa.string())
    is_telling = pc.fill_null(pc.greater_equal(quality, MIN_HASH_QUALITY), True)
    of_content = pc.binary_join_element_wise(CONTENT, pictures["content_hash"], "")
    look = pc.coalesce(pc.if_else(is_telling, pictures["perceptual_hash"], nothing), of_content)
    is_embedded = pc.is_valid(pictures["embedding"]).to_numpy()
    digests = np.full(len(pictures), None, object)
    digests[is_embedded] = [f"/{number:x}" for number in xxhash64(pictures["embedding"].filter(pa.array(is_embedded)))]
    digest = pa.array(digests, pa.string())
    return pc.coalesce(pc.binary_join_element_wise(look, digest, ""), look, digest)


def settle_features(rows: pa.Table, current: pa.Table, *, untold: Container[str]) -> pa.Table:
    """Rows of `file_features` with what is known of the features that they do not tell, and their fingerprint.

    `rows` has the features, null where they are `untold`, and the file's `content_hash`; `current` is the table, or
    what it has of the same files. What is known of a file whose hash is another now was of another picture: it does not
    stay.
    """
    at = positions_of(rows, current, on=FILE_KEY)
    if "perceptual_hash" not in untold:
        was_hash = current["perceptual_hash"].take(indices_or_null(at))
        at = np.where(same_values(rows["perceptual_hash"], was_hash), at, -1)
    was = current.select([*FEATURES, "fingerprint"]).take(indices_or_null(at))
    kept = {name: was[name] for name in FEATURES if name in untold}
    content = pc.struct_field(pc.extract_regex(was["fingerprint"], f"^{CONTENT}(?P<hash>[0-9a-f]{{64}})"), "hash")
    settled = with_columns(rows, {**kept, "content_hash": pc.coalesce(rows["content_hash"], content)})
    return with_columns(rows, {**kept, "fingerprint": fingerprints(settled)}).drop_columns(["content_hash"])


def _squash(luminance: Image.Image, share: float) -> np.ndarray:
    """The centre of a picture, `share` of both sides, as a square of 320 x 320 x 3 bytes."""
    width, height = luminance.size
    margins = width * (1 - share) / 2, height * (1 - share) / 2
    box = (margins[0], margins[1], width - margins[0], height - margins[1])
    average = Image.Resampling.BOX if min(luminance.size) >= _SIDE / share else Image.Resampling.BILINEAR
    square = luminance.resize((_SIDE, _SIDE), average, box=box)
    return np.repeat(np.asarray(square)[:, :, None], 3, axis=2)


def _packed(vectors: list[np.ndarray]) -> bytes:
    """Vectors of 256 bits as 32 bytes each, the first bit the highest."""
    return b"".join(np.packbits(np.asarray(vector, np.uint8)).tobytes() for vector in vectors)
