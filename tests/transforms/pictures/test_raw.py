"""`transforms.pictures.raw` and `jxl`: raw files and JPEG XL, made here box by box and directory by directory."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.transforms.pictures.test_files import (
    DIGITIZED,
    EXIF_IFD,
    GPS_IFD,
    MAKE,
    MODEL,
    ORIENTATION,
    ORIGINAL,
    PARIS,
    Entries,
    Entry,
    atom,
    damage,
    exif,
    gps,
    ifd,
    read,
    read_bytes,
    text,
)
from transforms.pictures.pixels import PixelReader

SUBTYPE, WIDTH, HEIGHT, COMPRESSION, PHOTOMETRIC = 0xFE, 0x100, 0x101, 0x103, 0x106
STRIPS, STRIP_SIZES, SUB_IFDS, JPEG, JPEG_SIZE, DNG_VERSION = 0x111, 0x117, 0x14A, 0x201, 0x202, 0xC612
TAKEN: Entries = {ORIGINAL: text("2022:02:03 04:05:06")}
CAMERA: Entries = {MAKE: text("Maker"), MODEL: text("Model")}


def long(*values: int) -> Entry:
    return 4, len(values), struct.pack(f"<{len(values)}I", *values)


def short(value: int) -> Entry:
    return 3, 1, struct.pack("<H", value)


def preview(size: tuple[int, int] = (320, 240), block: bytes = b"") -> bytes:
    """A JPEG picture whose upper left is bright."""
    image = Image.radial_gradient("L").resize(size).rotate(20)
    image.paste(255, (0, 0, size[0] // 3, size[1] // 3))
    out = io.BytesIO()
    image.save(out, "JPEG", **({"exif": b"Exif\0\0" + block} if block else {}))
    return out.getvalue()


def raw_tiff(
    main: Entries, *, magic: bytes = b"II*\0", large: Entries | None = None, jpeg: bytes = b"", as_strip: bool = False
) -> bytes:
    """A TIFF file: main directory, EXIF, GPS, a directory of the raw picture, and one of its preview."""
    start = 16
    place = gps(*PARIS)
    names = (STRIPS, STRIP_SIZES) if as_strip else (JPEG, JPEG_SIZE)
    shown = {COMPRESSION: short(7), SUBTYPE: long(1)} if as_strip else {}

    def parts(exif_at: int, gps_at: int, large_at: int, jpeg_ifd_at: int, jpeg_at: int) -> list[bytes]:
        pointers = {EXIF_IFD: long(exif_at), GPS_IFD: long(gps_at), SUB_IFDS: long(large_at, jpeg_ifd_at)}
        return [
            ifd(main | pointers, start),
            ifd(TAKEN, exif_at),
            ifd(place, gps_at),
            ifd(large or {}, large_at),
            ifd(shown | {names[0]: long(jpeg_at), names[1]: long(len(jpeg))}, jpeg_ifd_at),
        ]

    offsets = [0] * 5
    for _ in range(2):
        sizes = [len(part) for part in parts(*offsets)]
        offsets = [start + sum(sizes[: n + 1]) for n in range(5)]
    return (magic + struct.pack("<I", start)).ljust(start, b"\0") + b"".join(parts(*offsets)) + jpeg


SENSOR: Entries = {SUBTYPE: long(0), WIDTH: long(6000), HEIGHT: long(4000), PHOTOMETRIC: short(32803)}
THUMBNAIL: Entries = {WIDTH: long(160), HEIGHT: long(120)}
CR2 = bytearray(raw_tiff(CAMERA | THUMBNAIL, large=SENSOR, jpeg=preview()))
CR2[8:12] = b"CR\x02\0"
VERSION: Entry = (1, 4, b"\1\4\0\0")
BORDERS: Entries = {4: short(10), 5: short(20), 6: short(3010), 7: short(4020)}


def raf(jpeg: bytes) -> bytes:
    return b"FUJIFILMCCD-RAW 0201".ljust(84, b"\0") + struct.pack(">II", 160, len(jpeg)).ljust(76, b"\0") + jpeg


def cr3(jpeg: bytes) -> bytes:
    sized = CAMERA | {WIDTH: long(6000), HEIGHT: long(4000), ORIENTATION: short(1)}
    blocks = {b"CMT1": ifd(sized, 8), b"CMT2": ifd(TAKEN, 8), b"CMT4": ifd(gps(*PARIS), 8)}
    boxes = b"".join(atom(name, b"II*\0\x08\0\0\0" + block) for name, block in blocks.items())
    canon = atom(b"uuid", bytes.fromhex("85c0b687820f11e08111f4ce462b6a48"), boxes)
    shown = atom(b"PRVW", bytes(6), struct.pack(">HHHI", 320, 240, 1, len(jpeg)), jpeg)
    small = atom(b"uuid", bytes.fromhex("eaf42b5e1c984b88b9fbb7dc406e4d16"), bytes(8), shown)
    return atom(b"ftyp", b"crx ", bytes(4), b"crx isom") + atom(b"moov", canon) + small + atom(b"mdat", bytes(50))


FILES = {
    "a.dng": raw_tiff(CAMERA | THUMBNAIL | {DNG_VERSION: VERSION}, large=SENSOR, jpeg=preview(), as_strip=True),
    "a.cr2": bytes(CR2),
    "a.nef": raw_tiff(CAMERA | THUMBNAIL, large=SENSOR, jpeg=preview()),
    "a.arw": raw_tiff(CAMERA | THUMBNAIL, large=SENSOR, jpeg=preview()),
    "a.pef": raw_tiff(CAMERA | THUMBNAIL, large=SENSOR, jpeg=preview()),
    "a.orf": raw_tiff(CAMERA | {WIDTH: long(6000), HEIGHT: long(4000)}, magic=b"IIRO", jpeg=preview()),
    "a.rw2": raw_tiff(CAMERA | BORDERS, magic=b"IIU\0", jpeg=preview()),
    "a.raf": raf(preview((6000, 4000), exif(CAMERA, TAKEN, gps(*PARIS)))),
    "a.cr3": cr3(preview()),
}  # fmt: skip
TYPES = {
    "dng": "x-adobe-dng",
    "cr2": "x-canon-cr2",
    "cr3": "x-canon-cr3",
    "nef": "x-nikon-nef",
    "arw": "x-sony-arw",
    "raf": "x-fuji-raf",
    "orf": "x-olympus-orf",
    "rw2": "x-panasonic-rw2",
    "pef": "x-pentax-pef",
}


@pytest.fixture(scope="module")
def pixels() -> Iterator[PixelReader]:
    with PixelReader() as reader:
        yield reader


@pytest.mark.parametrize("name", sorted(FILES))
def test_raw_files(tmp_path: Path, pixels: PixelReader, name: str) -> None:
    row = read_bytes(tmp_path, FILES[name], name, pixels)
    assert (row["error_code"], row["warning"]) == (None, None)
    assert row["content_type"] == "image/" + TYPES[name.rpartition(".")[2]]
    assert (row["produce_time"], row["time_source"]) == ("2022-02-03T04:05:06", "exif_original")
    assert (row["latitude"], row["location_source"]) == (pytest.approx(48.8577), "gps")
    assert (row["camera_make"], row["camera_model"]) == ("Maker", "Model")
    size = (4000, 3000) if name == "a.rw2" else (6000, 4000)
    assert (row["image_width"], row["image_height"]) == size
    assert row["perceptual_hash"] is not None
    assert 0 < row["image_score"] <= 1


def test_kinds_that_the_content_tells_need_no_suffix(tmp_path: Path) -> None:
    told = {name: read_bytes(tmp_path, content, "file")["content_type"] for name, content in FILES.items()}
    by_suffix = {name for name, kind in told.items() if kind == "image/tiff"}
    assert by_suffix == {"a.nef", "a.arw", "a.pef"}


def test_previews_are_turned_as_the_raw_file_says(tmp_path: Path, pixels: PixelReader) -> None:
    upright = raw_tiff(CAMERA | THUMBNAIL, large=SENSOR, jpeg=preview())
    turned = raw_tiff(CAMERA | THUMBNAIL | {ORIENTATION: short(6)}, large=SENSOR, jpeg=preview())
    own = exif({ORIENTATION: short(1)})
    both = raw_tiff(CAMERA | THUMBNAIL | {ORIENTATION: short(6)}, large=SENSOR, jpeg=preview(block=own))
    rows = [read_bytes(tmp_path, content, "a.nef", pixels) for content in (upright, turned, both)]
    assert [row["image_width"] for row in rows] == [6000, 4000, 4000]
    assert rows[0]["perceptual_hash"] != rows[1]["perceptual_hash"]
    assert rows[0]["perceptual_hash"] == rows[2]["perceptual_hash"]


def test_a_raw_file_without_a_preview_is_a_row_without_features(tmp_path: Path, pixels: PixelReader) -> None:
    row = read_bytes(tmp_path, raw_tiff(CAMERA | THUMBNAIL, large=SENSOR), "a.nef", pixels)
    assert (row["error_code"], row["image_width"], row["perceptual_hash"]) == (None, 6000, None)


@pytest.mark.long
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
@pytest.mark.parametrize("name", sorted(FILES))
def test_damaged_raw_files_never_raise(tmp_path: Path, pixels: PixelReader, name: str, seed: int) -> None:
    content = damage(FILES[name][:800], seed) + FILES[name][800:]
    codes = (None, "picture_unreadable", "picture_too_large")
    assert read_bytes(tmp_path, content, name, pixels)["error_code"] in codes


def test_directories_in_a_ring_end(tmp_path: Path) -> None:
    content = bytearray(raw_tiff(CAMERA | THUMBNAIL, large=SENSOR))
    at = content.index(struct.pack("<HHI", SUB_IFDS, 4, 2))
    where = struct.unpack_from("<I", content, at + 8)[0]
    struct.pack_into("<II", content, where, 16, 16)
    assert read_bytes(tmp_path, bytes(content), "a.nef")["error_code"] is None


# ---------------------------------------------------------------- JPEG XL


def jxl_size(width: int, height: int, *, orientation: int = 1) -> bytes:
    """A codestream's signature and headers: sizes of 13 bits, an orientation."""
    fields = [(0, 1), (1, 2), (height - 1, 13), (0, 3), (1, 2), (width - 1, 13), (0, 1), (1, 1), (orientation - 1, 3)]
    value = shift = 0
    for number, bits in fields:
        value |= number << shift
        shift += bits
    return b"\xff\x0a" + value.to_bytes(16, "little")


def jxl_container(*boxes: bytes) -> bytes:
    return b"\0\0\0\x0cJXL \r\n\x87\n" + atom(b"ftyp", b"jxl ", bytes(4), b"jxl ") + b"".join(boxes)


def test_jpeg_xl(tmp_path: Path, pixels: PixelReader) -> None:
    block = exif({ORIENTATION: short(6)} | CAMERA, {DIGITIZED: text("2022:02:03 04:05:06")}, gps(*PARIS))
    boxes = [atom(b"Exif", bytes(4), block), atom(b"jxlc", jxl_size(4000, 3000, orientation=6))]
    row = read_bytes(tmp_path, jxl_container(*boxes), "a.jxl", pixels)
    assert (row["error_code"], row["content_type"], row["perceptual_hash"]) == (None, "image/jxl", None)
    assert (row["image_width"], row["image_height"]) == (3000, 4000)
    assert (row["produce_time"], row["latitude"]) == ("2022-02-03T04:05:06", pytest.approx(48.8577))
    bare = read_bytes(tmp_path, jxl_size(640, 480))
    assert (bare["content_type"], bare["image_width"], bare["image_height"]) == ("image/jxl", 640, 480)
    small = b"\xff\x0a" + (1 | (14 << 1) | (0 << 6) | (19 << 9) | (1 << 14)).to_bytes(8, "little")
    assert (read_bytes(tmp_path, small)["image_width"], read(tmp_path / "file")["image_height"]) == (160, 120)
    assert read_bytes(tmp_path, jxl_container())["error_code"] == "picture_unreadable"


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_damaged_jpeg_xl_never_raises(tmp_path: Path, seed: int) -> None:
    whole = jxl_container(atom(b"Exif", bytes(4), exif(CAMERA)), atom(b"jxlc", jxl_size(4000, 3000)))
    assert read_bytes(tmp_path, damage(whole, seed))["error_code"] in (None, "picture_unreadable", "picture_too_large")
