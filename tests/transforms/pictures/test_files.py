"""`transforms.pictures.files`, `photos` and `videos`: on real samples, on files made here, and on damaged ones."""

import hashlib
import io
import json
import os
import random
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import exifread
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile
from pyarrow import fs
from pyspark.sql import SparkSession

from schemas.errors import SourceError
from schemas.file_features import PIXEL_FEATURES
from transforms.pictures import files as pictures
from transforms.pictures import locations
from transforms.pictures.files import (
    PICTURE_SCHEMA,
    Reading,
    list_pictures,
    read_batches,
    read_picture,
    read_pictures,
)
from transforms.pictures.formats import MEDIA_SUFFIXES
from transforms.pictures.listings import LISTING_SCHEMA
from transforms.pictures.pixels import PixelReader
from transforms.pictures.videos import parse_iso6709

PHOTOS = Path(__file__).parents[3].parent / "shared" / "data" / "photos"
needs_photos = pytest.mark.skipif(not PHOTOS.is_dir(), reason=f"the sample photos are not at {PHOTOS}")


WHOLE_FILES = Reading(turned=True, name_times=False)


def read(path: Path, pixels: PixelReader | None = None) -> dict[str, Any]:
    """One row, with every warning an error and every column checked against the schema."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        row = read_picture(fs.LocalFileSystem(), str(path), path.as_uri(), pixels=pixels, reading=WHOLE_FILES)
    pa.RecordBatch.from_pylist([row], schema=PICTURE_SCHEMA).validate(full=True)
    assert list(row) == PICTURE_SCHEMA.names
    assert (row["media_type"] is None) == (row["error_code"] is not None)
    assert len({row[name] is None for name in PIXEL_FEATURES}) == 1
    return row


def read_bytes(folder: Path, content: bytes, name: str = "file", pixels: PixelReader | None = None) -> dict[str, Any]:
    path = folder / name
    path.write_bytes(content)
    return read(path, pixels)


@pytest.fixture(scope="module")
def pixels() -> Iterator[PixelReader]:
    with PixelReader() as reader:
        yield reader


# ---------------------------------------------------------------- EXIF and pictures, byte by byte

MAKE, MODEL, ORIENTATION, DATE_TIME, XP_TITLE, DESCRIPTION = 0x010F, 0x0110, 0x0112, 0x0132, 0x9C9B, 0x010E
EXIF_IFD, GPS_IFD = 0x8769, 0x8825
ORIGINAL, DIGITIZED = 0x9003, 0x9004
OFFSET, OFFSET_ORIGINAL, OFFSET_DIGITIZED = 0x9010, 0x9011, 0x9012
FRACTION, FRACTION_ORIGINAL, FRACTION_DIGITIZED = 0x9290, 0x9291, 0x9292
LATITUDE_REF, LATITUDE, LONGITUDE_REF, LONGITUDE = 1, 2, 3, 4

Entry = tuple[int, int, bytes]
Entries = dict[int, Entry]


def text(value: str) -> Entry:
    data = value.encode("utf-8") + b"\0"
    return 2, len(data), data


def raw(data: bytes) -> Entry:
    return 1, len(data), data


def short(value: int) -> Entry:
    return 3, 1, struct.pack("<H", value)


def rationals(*pairs: tuple[int, int]) -> Entry:
    return 5, len(pairs), b"".join(struct.pack("<II", *pair) for pair in pairs)


def ifd(entries: Entries, offset: int) -> bytes:
    """One TIFF directory that begins at `offset`, with its data behind it."""
    rows, data, data_at = b"", b"", offset + 2 + 12 * len(entries) + 4
    for tag, (kind, count, value) in sorted(entries.items()):
        if len(value) > 4:
            rows += struct.pack("<HHII", tag, kind, count, data_at + len(data))
            data += value + b"\0" * (len(value) % 2)
        else:
            rows += struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\0")
    return struct.pack("<H", len(entries)) + rows + bytes(4) + data


def exif(main: Entries | None = None, taken: Entries | None = None, gps: Entries | None = None) -> bytes:
    """An EXIF block with the directories given."""
    pointers = {EXIF_IFD: (4, 1, bytes(4)), GPS_IFD: (4, 1, bytes(4))}
    taken_at = 8 + len(ifd((main or {}) | pointers, 8))
    gps_at = taken_at + len(ifd(taken or {}, taken_at))
    pointers = {EXIF_IFD: (4, 1, struct.pack("<I", taken_at)), GPS_IFD: (4, 1, struct.pack("<I", gps_at))}
    blocks = ifd((main or {}) | pointers, 8) + ifd(taken or {}, taken_at) + ifd(gps or {}, gps_at)
    return b"II*\0\x08\0\0\0" + blocks


def picture(block: bytes = b"", kind: str = "JPEG", size: tuple[int, int] = (40, 20)) -> bytes:
    out = io.BytesIO()
    options = {"exif": b"Exif\0\0" + block} if block else {}
    Image.new("RGB", size, (200, 100, 50)).save(out, kind, **options)
    return out.getvalue()


def gps(latitude: Any, longitude: Any, refs: str = "NE") -> Entries:
    return {
        LATITUDE_REF: text(refs[0]),
        LATITUDE: rationals(*latitude),
        LONGITUDE_REF: text(refs[1]),
        LONGITUDE: rationals(*longitude),
    }


# ---------------------------------------------------------------- real samples


def degrees_by_exifread(tags: dict[str, Any], axis: str) -> float | None:
    value, ref = tags.get(f"GPS GPS{axis}"), str(tags.get(f"GPS GPS{axis}Ref", ""))
    if value is None or any(ratio.den == 0 for ratio in value.values):
        return None
    degrees, minutes, seconds = (ratio.num / ratio.den for ratio in value.values)
    angle: float = degrees + minutes / 60 + seconds / 3600
    return -angle if ref in ("S", "W") else angle


def sample_paths() -> list[Path]:
    return sorted(path for path in (PHOTOS / "exif-samples").rglob("*") if path.suffix[1:].lower() in MEDIA_SUFFIXES)


@needs_photos
@pytest.mark.parametrize("path", sample_paths(), ids=lambda path: str(path.relative_to(PHOTOS)))
def test_samples_agree_with_exifread(path: Path) -> None:
    row = read(path)
    with path.open("rb") as file:
        tags = exifread.process_file(file, details=False)
    shot = str(tags.get("EXIF DateTimeOriginal") or tags.get("EXIF DateTimeDigitized") or "")
    date, _, clock = shot.partition(" ")
    offset, fraction = (
        str(tags.get("EXIF OffsetTimeOriginal", "")),
        str(tags.get("EXIF SubSecTimeOriginal", "")),
    )
    expected = f"{date.replace(':', '-')}T{clock}" + (f".{fraction}" if fraction.strip() else "") + offset
    assert row["error_code"] is None
    assert row["content_hash"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert row["size"] == path.stat().st_size
    if not shot.strip():
        assert row["time_source"] not in ("exif_original", "exif_digitized")
    elif offset:
        assert (row["produce_time"], row["time_is"]) == (expected, "offset")
    else:  # the time of the fix may tell the offset
        assert str(row["produce_time"]).startswith(expected)
        assert (row["time_is"] == "local") == (row["produce_time"] == expected)
    assert row["camera_make"] == (str(tags.get("Image Make", "")).strip() or None)
    assert row["camera_model"] == (str(tags.get("Image Model", "")).strip() or None)
    assert row["latitude"] == pytest.approx(degrees_by_exifread(tags, "Latitude"))
    assert row["longitude"] == pytest.approx(degrees_by_exifread(tags, "Longitude"))
    if "Image Orientation" in tags and row["orientation"] is not None:
        assert [row["orientation"]] == tags["Image Orientation"].values


@needs_photos
def test_orientation_samples_are_measured_as_displayed() -> None:
    for turn in range(1, 9):
        landscape = read(PHOTOS / f"exif-samples/jpg/orientation/landscape_{turn}.jpg")
        portrait = read(PHOTOS / f"exif-samples/jpg/orientation/portrait_{turn}.jpg")
        assert (landscape["image_width"], landscape["image_height"], landscape["orientation"]) == (
            600,
            450,
            turn,
        )
        assert (portrait["image_width"], portrait["image_height"], portrait["orientation"]) == (
            450,
            600,
            turn,
        )


@needs_photos
def test_heic_of_a_phone_held_upright() -> None:
    row = read(PHOTOS / "exif-samples/heic/mobile/iphone_13_pro_max.HEIC")
    assert (row["content_type"], row["orientation"]) == ("image/heic", 6)
    assert (row["image_width"], row["image_height"]) == (3024, 4032)
    assert (row["produce_time"], row["time_is"]) == ("2022-02-16T12:55:41.762+01:00", "offset")


@needs_photos
def test_heic_sizes_agree_with_libheif() -> None:
    pi_heif = pytest.importorskip("pi_heif")
    paths = [path for path in sample_paths() if path.suffix.lower() in (".heic", ".heif")]
    assert len(paths) == 5
    for path in paths:
        row = read(path)
        assert (row["image_width"], row["image_height"]) == pi_heif.open_heif(path).size


@needs_photos
def samsung(milliseconds: bytes) -> bytes:
    """The trailer of a Samsung phone: a block that does not matter, the instant, their directory."""
    other = b"\0\0" + struct.pack("<HI", 0x0A30, 16) + b"MotionPhoto_Data" + bytes(50)
    moment = b"\0\0" + struct.pack("<HI", 0x0A01, 14) + b"Image_UTC_Data" + milliseconds
    entries = struct.pack("<HHII", 0, 0x0A30, len(other) + len(moment), len(other))
    entries += struct.pack("<HHII", 0, 0x0A01, len(moment), len(moment))
    directory = b"SEFH" + struct.pack("<II", 103, 2) + entries
    return other + moment + directory + struct.pack("<I", len(directory)) + b"SEFT"


@pytest.mark.parametrize(
    ("milliseconds", "offset"),
    [(b"1280823320123", "+02:00"), (b"1280823900000", ""), (b"junk", "")],
)
def test_samsungs_trailer_tells_the_offset(tmp_path: Path, milliseconds: bytes, offset: str) -> None:
    block = exif({MAKE: text("samsung")}, {ORIGINAL: text("2010:08:03 10:15:19")})
    row = read_bytes(tmp_path, picture(block) + samsung(milliseconds))
    assert (row["produce_time"], row["warning"]) == ("2010-08-03T10:15:19" + offset, None)


@needs_photos
def test_unset_clock_wrong_suffix_and_corrupt_samples() -> None:
    unset = read(PHOTOS / "ukbench/base_images/ukbench08976.jpg")
    assert (unset["produce_time"], unset["time_is"], unset["camera_model"]) == (None, None, "E5700")
    assert read(PHOTOS / "ukbench/formats_images/ukbench09380.png")["content_type"] == "image/jpeg"
    assert read(PHOTOS / "ukbench/mixed_images/ukbench09268_corrupt.jpg")["error_code"] == "picture_unreadable"


# ---------------------------------------------------------------- times


@pytest.mark.parametrize(
    ("taken", "produce_time", "time_is"),
    [
        ({ORIGINAL: "2010:08:03 10:15:19"}, "2010-08-03T10:15:19", "local"),
        (
            {ORIGINAL: "2010:08:03 10:15:19", FRACTION_ORIGINAL: "12", OFFSET_ORIGINAL: "-06:00"},
            "2010-08-03T10:15:19.12-06:00",
            "offset",
        ),
        ({ORIGINAL: "2010:08:03 10:15:19", OFFSET_ORIGINAL: "+0545"}, "2010-08-03T10:15:19+05:45", "offset"),
        ({ORIGINAL: "2010:08:03 10:15:19", OFFSET_ORIGINAL: "Z"}, "2010-08-03T10:15:19+00:00", "offset"),
        ({ORIGINAL: "2010:08:03 10:15:19", OFFSET_ORIGINAL: "+14:00"}, "2010-08-03T10:15:19+14:00", "offset"),
        ({ORIGINAL: "2010:08:03 10:15:19", OFFSET_ORIGINAL: "+14:15"}, "2010-08-03T10:15:19", "local"),
        ({ORIGINAL: "2010:08:03 10:15:19", OFFSET_ORIGINAL: "-13:00"}, "2010-08-03T10:15:19", "local"),
        ({ORIGINAL: "2010:08:03 10:15:19", OFFSET_ORIGINAL: "   :  "}, "2010-08-03T10:15:19", "local"),
        ({ORIGINAL: "2010:08:03 10:15:19", OFFSET_DIGITIZED: "+01:00"}, "2010-08-03T10:15:19", "local"),
        ({ORIGINAL: "2010:08:03 10:15:19", OFFSET: "+01:00"}, "2010-08-03T10:15:19+01:00", "offset"),
        (
            {ORIGINAL: "2010:08:03 10:15:19", OFFSET_ORIGINAL: "+02:00", OFFSET: "+01:00"},
            "2010-08-03T10:15:19+02:00",
            "offset",
        ),
        ({ORIGINAL: "2010:08:03 10:15:19", FRACTION_ORIGINAL: "1x"}, "2010-08-03T10:15:19", "local"),
        ({ORIGINAL: "2010:08:03 10:15:19", FRACTION_ORIGINAL: "   "}, "2010-08-03T10:15:19", "local"),
        ({ORIGINAL: "2010-08-03T10:15:19+02:00"}, "2010-08-03T10:15:19+02:00", "offset"),
        ({ORIGINAL: "2010: 8: 3 10:15:19"}, "2010-08-03T10:15:19", "local"),
        (
            {ORIGINAL: "0000:00:00 00:00:00", DIGITIZED: "2011:01:02 03:04:05", OFFSET_DIGITIZED: "+09:00"},
            "2011-01-02T03:04:05+09:00",
            "offset",
        ),
        ({DIGITIZED: "2011:01:02 03:04:05", FRACTION_ORIGINAL: "5"}, "2011-01-02T03:04:05", "local"),
        ({ORIGINAL: "0000:00:00 00:00:00"}, None, None),
        ({ORIGINAL: "    :  :     :  :  "}, None, None),
        ({ORIGINAL: "xxxx"}, None, None),
        ({ORIGINAL: ""}, None, None),
        ({ORIGINAL: "2010:13:03 10:15:19"}, None, None),
        ({ORIGINAL: "2010:02:30 10:15:19"}, None, None),
        ({ORIGINAL: "2010:08:03 25:15:19"}, None, None),
        ({ORIGINAL: "2010:08:03 10:15:60"}, None, None),
        ({ORIGINAL: "0001:01:01 00:00:00"}, None, None),
        ({ORIGINAL: "2010:08:03"}, None, None),
        ({ORIGINAL: "2010/08/03 10:15:19 PM"}, None, None),
        ({ORIGINAL: "٢٠١٠:08:03 10:15:19"}, None, None),
    ],
)
def test_exif_times(tmp_path: Path, taken: dict[int, str], produce_time: str | None, time_is: str | None) -> None:
    row = read_bytes(tmp_path, picture(exif(taken={tag: text(value) for tag, value in taken.items()})))
    assert (row["produce_time"], row["time_is"], row["error_code"]) == (produce_time, time_is, None)


def fix(hours: int, minutes: int, seconds: int, date: str = "2010:08:03") -> Entries:
    """The time of a GPS fix."""
    return {0x07: rationals((hours, 1), (minutes, 1), (seconds, 1)), 0x1D: text(date)}


def test_the_times_of_the_fix_and_of_the_last_change_are_last_resorts(tmp_path: Path) -> None:
    changed = {DATE_TIME: text("2015:01:01 00:00:00")}
    row = read_bytes(tmp_path, picture(exif(changed, {OFFSET: text("+01:00")}, fix(8, 15, 19))))
    assert (row["produce_time"], row["time_is"], row["time_source"]) == ("2010-08-03T08:15:19Z", "instant", "gps")
    row = read_bytes(tmp_path, picture(exif(changed, {OFFSET: text("+01:00")})))
    expected = ("2015-01-01T00:00:00+01:00", "offset", "exif_modified")
    assert (row["produce_time"], row["time_is"], row["time_source"]) == expected


@pytest.mark.parametrize(
    ("clock", "offset"),
    [
        ((8, 15, 19), "+02:00"),
        ((8, 15, 10), "+02:00"),  # the last fix was some seconds old
        ((4, 30, 19), "+05:45"),
        ((8, 5, 19), ""),  # stale: no whole quarter of an hour
        ((25, 0, 0), ""),
    ],
)
def test_the_fix_tells_the_offset_of_a_wall_clock(tmp_path: Path, clock: tuple[int, int, int], offset: str) -> None:
    row = read_bytes(tmp_path, picture(exif(taken={ORIGINAL: text("2010:08:03 10:15:19")}, gps=fix(*clock))))
    assert row["produce_time"] == "2010-08-03T10:15:19" + offset
    assert (row["time_is"], row["time_source"]) == ("offset" if offset else "local", "exif_original")


# ---------------------------------------------------------------- places

PARIS = [(48, 1), (51, 1), (2772, 100)], [(2, 1), (17, 1), (42, 1)]


@pytest.mark.parametrize(
    ("entries", "place"),
    [
        (gps(*PARIS), (48.8577, 2.295)),
        (gps(*PARIS, refs="SW"), (-48.8577, -2.295)),
        (gps(*PARIS, refs="nw"), (48.8577, -2.295)),
        (gps([(488577, 10000)], [(2295, 1000)]), (48.8577, 2.295)),
        (gps([(90, 1), (0, 1), (0, 1)], [(180, 1), (0, 1), (0, 1)]), (90.0, 180.0)),
        (gps([(0, 1), (0, 1), (0, 1)], [(5, 1), (0, 1), (0, 1)]), (0.0, 5.0)),
        (gps(*PARIS, refs="NX"), None),
        (gps(*PARIS, refs="EN"), None),
        ({tag: entry for tag, entry in gps(*PARIS).items() if tag != LATITUDE_REF}, None),
        ({tag: entry for tag, entry in gps(*PARIS).items() if tag != LONGITUDE}, None),
        (gps([(0, 1), (0, 1), (0, 1)], [(0, 1), (0, 1), (0, 1)]), None),
        (gps([(91, 1), (0, 1), (0, 1)], PARIS[1]), None),
        (gps([(90, 1), (0, 1), (1, 1)], PARIS[1]), None),
        (gps(PARIS[0], [(180, 1), (1, 1), (0, 1)]), None),
        (gps([(48, 1), (61, 1), (0, 1)], PARIS[1]), None),
        (gps([(48, 1), (0, 1), (9999, 1)], PARIS[1]), None),
        (gps([(48, 0), (51, 1), (0, 1)], PARIS[1]), None),
        (gps([(0, 0), (0, 0), (0, 0)], [(0, 0), (0, 0), (0, 0)]), None),
        (gps([(48, 1), (51, 1), (0, 0)], PARIS[1]), None),
        (gps(PARIS[0] + PARIS[0], PARIS[1]), None),
        (gps(*PARIS) | {LATITUDE: text("48.8577")}, None),
        (gps(*PARIS) | {LATITUDE: (5, 0, b"")}, None),
        (gps(*PARIS) | {LATITUDE: (12, 1, struct.pack("<d", float("nan")))}, None),
        (gps(*PARIS) | {LATITUDE: (10, 1, struct.pack("<ii", -48, 1))}, None),
    ],
)
def test_exif_places(tmp_path: Path, entries: Entries, place: tuple[float, float] | None) -> None:
    row = read_bytes(tmp_path, picture(exif(gps=entries)))
    assert row["error_code"] is None
    if place is None:
        assert (row["latitude"], row["longitude"]) == (None, None)
    else:
        assert (row["latitude"], row["longitude"]) == pytest.approx(place)


def test_a_broken_gps_directory_leaves_the_time_and_the_camera(tmp_path: Path) -> None:
    block = bytearray(exif({MAKE: text("Canon")}, {ORIGINAL: text("2010:08:03 10:15:19")}))
    at = block.index(struct.pack("<HHI", GPS_IFD, 4, 1))
    block[at + 8 : at + 12] = b"\xff\xff\xff\xff"
    row = read_bytes(tmp_path, picture(bytes(block)))
    assert (row["produce_time"], row["camera_make"]) == ("2010-08-03T10:15:19", "Canon")
    assert (row["latitude"], row["error_code"]) == (None, None)


# ---------------------------------------------------------------- text, size, formats


@pytest.mark.parametrize(
    ("stored", "make"),
    [
        (text("Canon"), "Canon"),
        (text("  NIKON CORPORATION   "), "NIKON CORPORATION"),
        (text("Apple\0\0junk"), "Apple"),
        (text("Müller"), "Müller"),
        ((2, 7, b"M\xfcller\0"), "Müller"),
        (text("   "), None),
        (text(""), None),
        (text("\x01\x02"), None),
        (text("x" * 256), None),
        (short(7), None),
    ],
)
def test_camera_names(tmp_path: Path, stored: Entry, make: str | None) -> None:
    assert read_bytes(tmp_path, picture(exif({MAKE: stored})))["camera_make"] == make


def test_titles_come_from_windows_and_never_from_camera_defaults(tmp_path: Path) -> None:
    titled = exif({XP_TITLE: raw("Zürich, 3 août\0".encode("utf-16-le")), DESCRIPTION: text("SONY DSC")})
    assert read_bytes(tmp_path, picture(titled))["title"] == "Zürich, 3 août"
    assert read_bytes(tmp_path, picture(exif({DESCRIPTION: text("OLYMPUS DIGITAL CAMERA")})))["title"] is None
    assert read_bytes(tmp_path, picture(exif({XP_TITLE: raw(b"\x00\xd8\x00")})))["title"] is None


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_every_format_gives_exif_and_the_displayed_size(tmp_path: Path, kind: str) -> None:
    block = exif({MAKE: text("Canon"), ORIENTATION: short(6)}, {ORIGINAL: text("2010:08:03 10:15:19")}, gps(*PARIS))
    row = read_bytes(tmp_path, picture(block, kind), "misnamed.gif")
    assert (row["media_type"], row["content_type"]) == ("image", f"image/{kind.lower()}")
    assert (row["image_width"], row["image_height"]) == (20, 40)
    assert row["orientation"] == (None if kind == "AVIF" else 6)  # Pillow moves an AVIF's into the container
    assert (row["camera_make"], row["produce_time"]) == ("Canon", "2010-08-03T10:15:19")
    assert row["latitude"] == pytest.approx(48.8577)


@pytest.mark.parametrize("kind", ["GIF", "BMP"])
def test_formats_without_exif(tmp_path: Path, kind: str) -> None:
    row = read_bytes(tmp_path, picture(kind=kind))
    assert (row["content_type"], row["image_width"], row["image_height"]) == (f"image/{kind.lower()}", 40, 20)
    assert (row["orientation"], row["produce_time"], row["error_code"]) == (None, None, None)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_impossible_orientations_are_null(tmp_path: Path, orientation: int) -> None:
    row = read_bytes(tmp_path, picture(exif({ORIENTATION: short(orientation)})))
    assert (row["orientation"], row["image_width"], row["image_height"]) == (None, 40, 20)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_png_exif_behind_the_pixels_is_read_without_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = picture(kind="PNG")
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda image: pytest.fail("pixels were decoded"))
    late = plain[:-12] + png_chunk(b"eXIf", exif({MAKE: text("Canon")})) + plain[-12:]
    assert read_bytes(tmp_path, late)["camera_make"] == "Canon"
    assert read_bytes(tmp_path, plain)["error_code"] is None


# ---------------------------------------------------------------- files that can't be read


def test_decompression_bombs_are_refused_by_their_header(tmp_path: Path) -> None:
    before = Image.MAX_IMAGE_PIXELS
    for side, code in ((16384, None), (2**15, "picture_too_large"), (2**31 - 1, "picture_too_large")):
        header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
        row = read_bytes(tmp_path, b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", b""))
        assert row["error_code"] == code
        assert row["image_width"] == (side if code is None else None)
    assert before == Image.MAX_IMAGE_PIXELS


def test_pictures_read_whole_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MAX_WEBP_BYTES", 10)
    assert read_bytes(tmp_path, picture(kind="WEBP"))["error_code"] == "picture_too_large"
    assert read_bytes(tmp_path, picture(kind="JPEG"))["error_code"] is None


@pytest.mark.parametrize("content", [b"", b"\0", b"hello, world", b"%PDF-1.7", b"\xff\xd8\xff", b"\0\0\0\x18ftypheic"])
def test_what_is_no_picture_is_unreadable_but_hashed(tmp_path: Path, content: bytes) -> None:
    row = read_bytes(tmp_path, content, "photo.jpg")
    assert row["error_code"] == "picture_unreadable"
    assert row["error_message"]
    assert (row["size"], row["content_hash"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert row["content_type"] is None


def test_what_can_not_be_opened_is_file_unreadable(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    for path in (tmp_path / "missing.jpg", tmp_path, tmp_path / "pipe.jpg"):
        row = read(path)
        assert (row["error_code"], row["size"]) == ("file_unreadable", None)
        assert str(path) in row["error_message"]


class FailingFile(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        raise OSError("the disk is gone")

    readinto = read  # type: ignore[assignment]


def test_a_read_that_fails_is_file_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class FailingFileSystem:
        def get_file_info(self, path: str) -> fs.FileInfo:
            return fs.FileInfo(path, fs.FileType.File)

        def open_input_file(self, path: str) -> FailingFile:
            return FailingFile()

    row = read_picture(FailingFileSystem(), "x.jpg", "s3://b/x.jpg")
    assert (row["error_code"], row["error_message"]) == ("file_unreadable", "the disk is gone")


def test_of_a_source_out_of_reach_no_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that only the driver has, or a bucket that a worker may not read, is no fault of the files."""
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "cut.jpg").write_bytes(picture()[:10])

    def read_under(root: str, name: str) -> list[dict[str, Any]]:
        files = pa.record_batch({"uri": pa.array([f"{root}/{name}"])})
        return list(pa.Table.from_batches(read_batches([files], root=root)).to_pylist())

    gone, there = (tmp_path / "gone").as_uri(), (tmp_path / "there").as_uri()
    with pytest.raises(SourceError, match=r"gone is out of reach of .+: it is not there; all machines"):
        read_under(gone, "a.jpg")
    assert [row["error_code"] for row in read_under(there, "a.jpg")] == ["file_unreadable"]
    assert [row["error_code"] for row in read_under(there, "cut.jpg")] == ["picture_unreadable"]

    class Forbidden:
        def get_file_info(self, _: str) -> fs.FileInfo:
            raise OSError("AWS Error ACCESS_DENIED")

    monkeypatch.setattr(locations, "_filesystem", lambda _: (Forbidden(), "bucket"))
    with pytest.raises(SourceError, match=r"s3a://bucket/photos is out of reach of .+: AWS Error ACCESS_DENIED"):
        read_under("s3a://bucket/photos", "a.jpg")


# ---------------------------------------------------------------- videos, atom by atom

UPRIGHT = (0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
TURNED = (0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000)
EPOCH_1904 = 2_082_844_800  # seconds from 1904 to 1970
SHOT = EPOCH_1904 + 1_280_852_119  # 2010-08-03T16:15:19Z
APPLE = "com.apple.quicktime."


def atom(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def handler(kind: bytes) -> bytes:
    return atom(b"hdlr", bytes(8), kind, bytes(13))


def apple_metadata(values: dict[str, str]) -> bytes:
    keys = b"".join(struct.pack(">I4s", 8 + len(APPLE + key), b"mdta") + (APPLE + key).encode() for key in values)
    items = b"".join(
        atom(struct.pack(">I", i), atom(b"data", struct.pack(">II", 1, 0), value.encode()))
        for i, value in enumerate(values.values(), start=1)
    )
    keys = atom(b"keys", struct.pack(">II", 0, len(values)), keys)
    return atom(b"meta", handler(b"mdta"), keys, atom(b"ilst", items))


def track(created: int, matrix: tuple[int, ...], kind: bytes = b"vide", codec: bytes = b"avc1") -> bytes:
    header = struct.pack(">7I", 7, created, created, 1, 0, 1500, 0) + bytes(12)
    header += struct.pack(">9i", *matrix) + struct.pack(">II", 1920 << 16, 1080 << 16)
    sample = bytes(6) + struct.pack(">H", 1) + bytes(16) + struct.pack(">HH", 1920, 1080) + bytes(50)
    table = atom(b"stbl", atom(b"stsd", struct.pack(">II", 0, 1), atom(codec, sample)))
    clock = atom(b"mdhd", struct.pack(">5IHH", 0, created, created, 600, 1500, 0, 0))
    return atom(b"trak", atom(b"tkhd", header), atom(b"mdia", clock, handler(kind), atom(b"minf", table)))


def movie(
    created: int = SHOT,
    apple: dict[str, str] | None = None,
    location: str = "",
    matrix: tuple[int, ...] = UPRIGHT,
    brand: bytes = b"mp42",
    kind: bytes = b"vide",
) -> bytes:
    """A movie of one track, 2.5 seconds, 1920 x 1080 before it is turned, media data first as in cameras."""
    start = atom(b"ftyp", brand, bytes(4), brand) if brand else b""
    clock = atom(b"mvhd", struct.pack(">5I", 0, created, created, 600, 1500), bytes(80))
    xyz = location.encode()
    user = atom(b"udta", atom(b"\xa9xyz", struct.pack(">HH", len(xyz), 0x15C7), xyz)) if location else b""
    meta = apple_metadata(apple) if apple else b""
    return start + atom(b"mdat", bytes(100)) + atom(b"moov", clock, track(created, matrix, kind), user, meta)


def test_video_of_an_iphone(tmp_path: Path) -> None:
    apple = {
        "creationdate": "2010-08-03T10:15:19-0600",
        "location.ISO6709": "+48.8577+002.2950+035.000/",
        "make": "Apple",
        "model": "iPhone 12",
    }
    row = read_bytes(tmp_path, movie(apple=apple, location="+10.0+020.0/", matrix=TURNED, brand=b"qt  "))
    assert (row["media_type"], row["content_type"]) == ("video", "video/quicktime")
    assert (row["produce_time"], row["time_is"]) == ("2010-08-03T10:15:19-06:00", "offset")
    assert (row["latitude"], row["longitude"]) == (48.8577, 2.295)
    assert (row["image_width"], row["image_height"], row["duration"]) == (1080, 1920, 2.5)
    assert (row["camera_make"], row["camera_model"]) == ("Apple", "iPhone 12")
    assert (row["orientation"], row["error_code"]) == (None, None)


def test_video_of_an_android_phone(tmp_path: Path) -> None:
    row = read_bytes(tmp_path, movie(location="-33.8750+151.2100/"), "misnamed.jpg")
    assert (row["media_type"], row["content_type"]) == ("video", "video/mp4")
    assert (row["produce_time"], row["time_is"]) == ("2010-08-03T16:15:19Z", "instant")
    assert (row["latitude"], row["longitude"]) == (-33.875, 151.21)
    assert (row["image_width"], row["image_height"], row["duration"]) == (1920, 1080, 2.5)


@pytest.mark.parametrize("created", [0, EPOCH_1904])
def test_unset_video_clocks_are_null(tmp_path: Path, created: int) -> None:
    row = read_bytes(tmp_path, movie(created))
    assert (row["produce_time"], row["time_is"], row["error_code"]) == (None, None, None)


@pytest.mark.parametrize(
    ("text", "produce_time", "time_is"),
    [
        ("2010-08-03T10:15:19", "2010-08-03T10:15:19", "local"),
        ("2010-08-03T10:15:19Z", "2010-08-03T10:15:19+00:00", "offset"),
        ("2010-08-03T10:15:19+2300", "2010-08-03T16:15:19Z", "instant"),
        ("2010-13-03T10:15:19+0200", "2010-08-03T16:15:19Z", "instant"),
        ("2010-08-03", "2010-08-03T16:15:19Z", "instant"),
        ("yesterday", "2010-08-03T16:15:19Z", "instant"),
    ],
)
def test_apple_creation_dates(tmp_path: Path, text: str, produce_time: str, time_is: str) -> None:
    row = read_bytes(tmp_path, movie(apple={"creationdate": text}))
    assert (row["produce_time"], row["time_is"]) == (produce_time, time_is)


def test_videos_of_cameras_without_a_time_zone_show_the_wall_clock(tmp_path: Path) -> None:
    row = read_bytes(tmp_path, movie(apple={"make": "GoPro", "model": "HERO8"}))
    assert (row["produce_time"], row["time_is"], row["camera_make"]) == ("2010-08-03T16:15:19", "local", "GoPro")


@pytest.mark.parametrize("location", ["+00.0000+000.0000/", "+91.0000+002.0000/", "+48.0000+181.0000/", "nowhere"])
def test_impossible_video_places_are_null(tmp_path: Path, location: str) -> None:
    row = read_bytes(tmp_path, movie(location=location))
    assert (row["latitude"], row["longitude"], row["error_code"]) == (None, None, None)


def test_container_brands(tmp_path: Path) -> None:
    assert read_bytes(tmp_path, movie(brand=b"M4V "))["content_type"] == "video/x-m4v"
    assert read_bytes(tmp_path, movie(brand=b""))["content_type"] == "video/quicktime"


def test_movies_without_a_video_track_are_unreadable(tmp_path: Path) -> None:
    assert read_bytes(tmp_path, movie(kind=b"soun"))["error_code"] == "picture_unreadable"
    whole = movie()
    assert read_bytes(tmp_path, whole[: whole.index(b"moov") + 4])["error_code"] == "picture_unreadable"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("+48.8577+002.295+035/", (48.8577, 2.295)),
        ("+48.8577+002.295/", (48.8577, 2.295)),
        ("-33-151/", (-33.0, -151.0)),
        ("+4851.462+00217.7/", (48.8577, 2.295)),
        ("+485127.72+0021742.0+035.5CRSWGS_84/", (48.8577, 2.295)),
        ("+4899.0+00200.0/", None),
        ("+485+002/", None),
        ("48.8+2.2", None),
        ("", None),
    ],
)
def test_iso6709(text: str, place: tuple[float, float] | None) -> None:
    assert parse_iso6709(text) == (None if place is None else pytest.approx(place))


def test_media_data_is_hashed_but_not_held(tmp_path: Path) -> None:
    path = tmp_path / "long.mp4"
    head, moov = movie()[:20], movie()[128:]
    with path.open("wb") as file:  # 64 MiB of media data, sparse
        file.write(head + struct.pack(">I4s", 2**26, b"mdat"))
        file.seek(20 + 2**26)
        file.write(moov)
    row = read(path)
    assert (row["size"], row["duration"]) == (path.stat().st_size, 2.5)


# ---------------------------------------------------------------- sidecars


def sidecar_row(folder: Path, takeout: bytes = b"", xmp: bytes = b"") -> dict[str, Any]:
    """The row of a picture that says nothing, with sidecars."""
    (folder / "a.jpg").write_bytes(picture())
    uris: dict[str, str | None] = {"takeout_uri": None, "xmp_uri": None}
    for name, content in (("takeout", takeout), ("xmp", xmp)):
        if content:
            (folder / f"a.jpg.{name}").write_bytes(content)
            uris[f"{name}_uri"] = (folder / f"a.jpg.{name}").as_uri()
    return read_picture(fs.LocalFileSystem(), str(folder / "a.jpg"), "a.jpg", **uris)


@pytest.mark.parametrize("content", [b"{}", b"[" * 100_000, b"\xff\xfe\x00", b"{" + b" " * 2**21])
def test_a_sidecar_that_cannot_be_read_is_a_warning(tmp_path: Path, content: bytes) -> None:
    row = sidecar_row(tmp_path, takeout=content)
    assert (row["error_code"], row["produce_time"]) == (None, None)
    assert row["warning"].startswith("the sidecar a.jpg.takeout: ")
    row = sidecar_row(tmp_path, xmp=content)
    assert row["warning"].startswith("the sidecar a.jpg.xmp: ")


def test_what_sidecars_say_fits_the_table(tmp_path: Path) -> None:
    people = [{"name": f"{number:03d} {'x' * 250}"} for number in range(1000)]
    row = sidecar_row(tmp_path, takeout=json.dumps({"people": people, "description": "lost: \ufffd"}).encode())
    assert row["description"] is None
    assert row["labels"][0].startswith("person:000 x")
    assert len(",".join(row["labels"]).encode()) < 65_536
    (tmp_path / "a.jpg.xmp").unlink(missing_ok=True)
    gone = read_picture(fs.LocalFileSystem(), str(tmp_path / "a.jpg"), "a.jpg", xmp_uri=f"{tmp_path.as_uri()}/%FF.xmp")
    assert gone["error_code"] is None
    assert "\ufffd" not in gone["warning"]


# ---------------------------------------------------------------- damaged files


def damage(content: bytes, seed: int) -> bytes:
    """Some bytes changed, perhaps a piece lost, perhaps the rest cut off."""
    luck, damaged = random.Random(seed), bytearray(content)
    for _ in range(luck.randint(0, 8)):
        damaged[luck.randrange(len(damaged))] = luck.choice([0, 0xFF, luck.randrange(256)])
    if luck.random() < 0.3:
        at = luck.randrange(len(damaged))
        del damaged[at : at + luck.randint(1, 100)]
    return bytes(damaged[: luck.randrange(len(damaged) + 1)]) if luck.random() < 0.3 else bytes(damaged)


RICH = exif(
    {
        MAKE: text("Canon"),
        MODEL: text("EOS"),
        ORIENTATION: short(6),
        XP_TITLE: raw("Title".encode("utf-16-le")),
    },
    {ORIGINAL: text("2010:08:03 10:15:19"), OFFSET_ORIGINAL: text("-06:00"), FRACTION_ORIGINAL: text("12")},
    gps(*PARIS),
)
WHOLE = {kind: picture(RICH, kind) for kind in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF")} | {
    "GIF": picture(kind="GIF"),
    "BMP": picture(kind="BMP"),
    "MOV": movie(
        apple={"creationdate": "2010-08-03T10:15:19-0600", "location.ISO6709": "+48.8577+002.2950/"},
        location="+10.0+020.0/",
        brand=b"qt  ",
    ),
}
ERROR_CODES = (None, "picture_unreadable", "picture_too_large")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
@pytest.mark.parametrize("kind", sorted(WHOLE))
def test_damaged_files_never_raise(tmp_path: Path, kind: str, seed: int) -> None:
    assert read_bytes(tmp_path, damage(WHOLE[kind], seed))["error_code"] in ERROR_CODES


@pytest.mark.long
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
@pytest.mark.parametrize("kind", sorted(WHOLE))
def test_damaged_pixels_never_raise(tmp_path: Path, pixels: PixelReader, kind: str, seed: int) -> None:
    assert read_bytes(tmp_path, damage(WHOLE[kind], seed), pixels=pixels)["error_code"] in ERROR_CODES


@pytest.mark.parametrize("kind", sorted(WHOLE))
def test_photos_have_features_and_videos_none(tmp_path: Path, pixels: PixelReader, kind: str) -> None:
    row = read_bytes(tmp_path, WHOLE[kind], pixels=pixels)
    assert (row["error_code"], row["image_score"] is None) == (None, kind == "MOV")
    assert row == read(tmp_path / "file", pixels)
    headers = read(tmp_path / "file")
    assert headers == row | dict.fromkeys(PIXEL_FEATURES)


def test_broken_pixels_are_a_warning(tmp_path: Path, pixels: PixelReader) -> None:
    whole = picture(RICH, size=(600, 400))
    row = read_bytes(tmp_path, whole[: len(whole) // 2], pixels=pixels)
    assert (row["error_code"], row["image_width"], row["perceptual_hash"]) == (None, 400, None)
    assert (row["produce_time"], row["latitude"]) == ("2010-08-03T10:15:19.12-06:00", pytest.approx(48.8577))
    assert row["warning"].startswith("the pixels can't be decoded: image file is truncated")
    assert row["content_hash"] == hashlib.sha256(whole[: len(whole) // 2]).hexdigest()


def test_metadata_of_a_file_that_breaks_off_before_its_size_are_kept(tmp_path: Path, pixels: PixelReader) -> None:
    whole = picture(RICH)
    row = read_bytes(tmp_path, whole[: whole.index(RICH) + len(RICH)], pixels=pixels)
    assert (row["error_code"], row["image_width"]) == (None, None)
    assert (row["produce_time"], row["camera_make"]) == ("2010-08-03T10:15:19.12-06:00", "Canon")
    assert row["warning"] == "the header breaks off before the size of the picture"
    assert read_bytes(tmp_path, picture()[:25])["error_code"] == "picture_unreadable"


def test_giants_are_rows_without_features(tmp_path: Path, pixels: PixelReader) -> None:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 16384, 16384, 8, 2, 0, 0, 0))
    row = read_bytes(tmp_path, b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", b""), pixels=pixels)
    assert (row["error_code"], row["image_width"], row["perceptual_hash"]) == (None, 16384, None)


def test_a_file_too_large_to_hold_is_read_in_pieces(
    tmp_path: Path, pixels: PixelReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = read_bytes(tmp_path, WHOLE["JPEG"], pixels=pixels)
    monkeypatch.setattr(pictures, "_HELD_BYTES", 10)
    assert read(tmp_path / "file", pixels) == held


@pytest.mark.long
@needs_photos
def test_all_samples_are_decoded(pixels: PixelReader) -> None:
    rows = [read(path, pixels) for path in sample_paths() if path.stat().st_size < 2**20]
    assert len(rows) > 80
    assert [row["uri"] for row in rows if row["perceptual_hash"] is None] == []


@needs_photos
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
@pytest.mark.parametrize("sample", ["heic/samplefilehub.heif", "jpg/gps/DSCN0010.jpg", "tiff/Tless0.tiff"])
def test_damaged_samples_never_raise(tmp_path: Path, sample: str, seed: int) -> None:
    content = (PHOTOS / "exif-samples" / sample).read_bytes()
    damaged = damage(content[:4096], seed) + content[4096:]  # where the headers are
    assert read_bytes(tmp_path, damaged)["error_code"] in ERROR_CODES


# ---------------------------------------------------------------- listing


def names(table: pa.Table, root: Path) -> list[str]:
    prefix = root.as_uri() + "/"
    return [unquote(uri.removeprefix(prefix)) for uri in table["uri"].to_pylist()]


def test_listing_takes_media_by_suffix_and_skips_what_is_hidden(tmp_path: Path) -> None:
    for name in (
        "b.jpg",
        "_MG_0001.JPG",
        "sub/a.Heic",
        "sub/clip.MOV",
        "_sub/x.png",
        "odd #%41?é name.jpg",
        "notes.txt",
        "README",
        "sub/raw.3fr",
        "sub/other.3FR",
        "._b.jpg",
        ".thumbnails/t.jpg",
        "@eaDir/b.jpg/SYNOPHOTO_THUMB.jpg",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture())
    (tmp_path / "album.jpg").mkdir()
    listing = list_pictures(str(tmp_path))
    table = listing.pictures
    expected = ["_MG_0001.JPG", "_sub/x.png", "b.jpg", "odd #%41?é name.jpg", "sub/a.Heic", "sub/clip.MOV"]
    assert names(table, tmp_path) == expected
    assert table["uri"].to_pylist() == sorted(table["uri"].to_pylist())
    assert listing.passed_over == {"txt": 1, "": 1, "3fr": 2}
    assert (table.schema, listing.unmatched) == (LISTING_SCHEMA, [])
    read_back = next(read_batches([table.to_batches()[0]]))
    assert read_back["error_code"].null_count == len(expected)


def test_listing_knows_uris_and_relative_roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "my photos"
    root.mkdir()
    (root / "a.jpg").write_bytes(picture())
    monkeypatch.chdir(tmp_path)
    for name in (str(root), root.as_uri(), "my photos", "./my photos/"):
        assert list_pictures(name).pictures["uri"].to_pylist() == [(root / "a.jpg").as_uri()]


def test_loops_of_links_end_and_links_to_files_count(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "a.jpg").write_bytes(picture())
    for name in ("loop", "again"):
        (root / "sub" / name).symlink_to(root)
    (root / "sub/link.jpg").symlink_to(root / "a.jpg")
    (root / "sub/broken.jpg").symlink_to(root / "nothing.jpg")
    os.mkfifo(root / "pipe.jpg")
    assert names(list_pictures(str(root)).pictures, root) == ["a.jpg", "sub/link.jpg"]


def test_a_name_that_is_not_utf8_is_listed_and_read(tmp_path: Path) -> None:
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jpg")).write_bytes(picture())
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    table = list_pictures(str(tmp_path)).pictures
    assert table["uri"].to_pylist() == [tmp_path.as_uri() + "/%FF.jpg"]
    assert next(read_batches(table.to_batches()))["error_code"].to_pylist() == [None]


def test_a_root_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(picture())
    with pytest.raises(FileNotFoundError, match=r"no such folder: .*/missing"):
        list_pictures(str(tmp_path / "missing"))
    with pytest.raises(NotADirectoryError, match=r"not a folder: .*a\.jpg"):
        list_pictures((tmp_path / "a.jpg").as_uri())


def test_object_stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("bucket/photos/a b.jpg", "bucket/photos/.hidden/c.jpg", "bucket/photos/2010/_d#.jpg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture())
    asked = []

    def connect(authority: str) -> tuple[fs.FileSystem, str]:
        asked.append(authority)
        return fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem()), "bucket"

    monkeypatch.setattr(locations, "_filesystem", connect)
    listing = list_pictures("s3://bucket/photos/?region=eu-west-1")
    table = listing.pictures
    assert table["uri"].to_pylist() == [
        "s3://bucket/photos/2010/_d%23.jpg?region=eu-west-1",
        "s3://bucket/photos/a%20b.jpg?region=eu-west-1",
    ]
    assert listing.passed_over == {}
    assert next(read_batches(table.to_batches()))["image_width"].to_pylist() == [40, 40]
    assert set(asked) == {"s3://bucket/?region=eu-west-1"}
    with pytest.raises(FileNotFoundError, match="s3://bucket/missing"):
        list_pictures("s3://bucket/missing")
    with pytest.raises(NotADirectoryError, match="a%20b"):
        list_pictures("s3://bucket/photos/a%20b.jpg")


# ---------------------------------------------------------------- batches and Spark


@pytest.mark.long
def test_batches_are_cut_small_and_every_uri_gets_a_row(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(picture())
    uris = [str(tmp_path / "a.jpg"), None, "nosuch://x/y.jpg", "file:///missing.jpg", "s3://[", ""] * 100
    batches = list(read_batches([pa.record_batch({"uri": pa.array(uris, pa.string())})]))
    assert [batch.num_rows for batch in batches] == [256, 256, 88]
    result = pa.Table.from_batches(batches)
    assert result.schema == PICTURE_SCHEMA
    assert result["uri"].to_pylist() == uris
    assert result["error_code"].to_pylist() == [None, *["file_unreadable"] * 5] * 100


def test_read_pictures_in_spark(spark: SparkSession, tmp_path: Path, pixels: PixelReader) -> None:
    (tmp_path / "a b.jpg").write_bytes(picture(RICH))
    (tmp_path / "clip.mov").write_bytes(WHOLE["MOV"])
    (tmp_path / "empty.png").write_bytes(b"")
    table = list_pictures(str(tmp_path)).pictures
    df = spark.createDataFrame([(uri,) for uri in table["uri"].to_pylist()], "uri string")
    result = df.transform(read_pictures, reading=WHOLE_FILES)
    assert result.columns == PICTURE_SCHEMA.names
    rows = {Path(row["uri"]).name: row.asDict() for row in result.collect()}
    expected = {path.name.replace(" ", "%20"): read(path, pixels) for path in tmp_path.iterdir()}
    assert rows == expected
