"""`transforms.pictures.shots`: which files are of one shot, and what they take from each other."""

from __future__ import annotations

from typing import Any

import pytest

from transforms.pictures.files import PICTURE_SCHEMA
from transforms.pictures.shots import join_shots, shot_key


def row(uri: str, time: str | None = None, **columns: Any) -> dict[str, Any]:
    """A row as the reader makes it, of a kind that its suffix tells."""
    suffix = uri.rpartition(".")[2]
    is_video = suffix in ("mov", "mp4")
    content = {"dng": "image/x-adobe-dng", "jpg": "image/jpeg", "heic": "image/heic"}.get(suffix, "video/mp4")
    time_is = None if time is None else "instant" if time.endswith("Z") else "offset" if "+" in time else "local"
    known = {
        "uri": uri,
        "media_type": "video" if is_video else "image",
        "content_type": content,
        "produce_time": time,
        "time_is": time_is,
        "time_source": time and ("quicktime" if is_video else "exif_original"),
        "duration": 3.0 if is_video else None,
    }
    return dict.fromkeys(PICTURE_SCHEMA.names) | known | columns


LOCAL, ZONED, INSTANT = "2024-05-06T12:00:00", "2024-05-06T12:00:00+02:00", "2024-05-06T10:00:01Z"
OTHER = "2020-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("rows", "main"),
    [
        ([row("a.jpg", LOCAL), row("a.dng", LOCAL)], "a.jpg"),
        ([row("a.heic", ZONED), row("a.mov", INSTANT)], "a.heic"),
        ([row("a.jpg", LOCAL), row("a.mov", INSTANT)], "a.jpg"),
        ([row("a.jpg"), row("a.mp4")], "a.jpg"),
        ([row("a.dng", LOCAL), row("a.mov", INSTANT)], "a.dng"),
        ([row("a.jpg", LOCAL), row("a.heic", LOCAL), row("a.dng", LOCAL)], "a.heic"),
        ([row("a.jpg", LOCAL, content_identifier="X"), row("a.mov", OTHER, content_identifier="X")], "a.jpg"),
        ([row("a.jpg", LOCAL), row("a.dng", "2024-05-06T12:00:09")], None),
        ([row("a.jpg", LOCAL), row("a.mov", "2024-05-06T10:07:00Z")], None),
        ([row("a.jpg", LOCAL), row("a.mov", INSTANT, duration=60.0)], None),
        ([row("a.jpg", LOCAL, content_identifier="X"), row("a.mov", INSTANT, content_identifier="Y")], None),
        ([row("a.jpg", LOCAL, camera_model="A"), row("a.dng", LOCAL, camera_model="B")], None),
        ([row("a.jpg", LOCAL), row("a.heic", LOCAL)], None),
        ([row("a.mp4", INSTANT), row("a.mov", INSTANT)], None),
        ([row("a.jpg", error_code="picture_unreadable"), row("a.mov", INSTANT)], None),
    ],
)  # fmt: skip
def test_shots(rows: list[dict[str, Any]], main: str | None) -> None:
    assert {one["shot_id"] for one in join_shots(rows)} == {main}
    assert {one["shot_id"] for one in join_shots(rows[::-1])} == {main}


def test_a_video_takes_the_offset_and_the_place_of_its_picture() -> None:
    picture = row("a.heic", ZONED, latitude=1.5, longitude=2.5, location_source="gps")
    joined = join_shots([picture, row("a.mov", INSTANT)])
    assert joined[0] == picture | {"shot_id": "a.heic"}
    assert (joined[1]["produce_time"], joined[1]["time_is"]) == ("2024-05-06T12:00:01+02:00", "offset")
    assert (joined[1]["time_source"], joined[1]["location_source"]) == ("companion", "companion")
    assert (joined[1]["latitude"], joined[1]["longitude"]) == (1.5, 2.5)


def test_a_raw_file_takes_the_offset_of_its_picture_and_gives_its_place() -> None:
    raw = row("a.dng", LOCAL, latitude=1.5, longitude=2.5, location_source="xmp_sidecar")
    joined = join_shots([raw, row("a.jpg", ZONED)])
    assert (joined[0]["produce_time"], joined[0]["time_source"]) == (ZONED, "companion")
    assert (joined[0]["location_source"], joined[1]["location_source"]) == ("xmp_sidecar", "companion")
    assert joined[1]["time_source"] == "exif_original"


@pytest.mark.parametrize("guess", ["name", "name_day"])
def test_a_time_of_the_shot_goes_before_one_from_a_name(guess: str) -> None:
    joined = join_shots([row("a.jpg", ZONED), row("a.mp4", LOCAL, time_is="local", time_source=guess)])
    assert (joined[1]["produce_time"], joined[1]["time_source"]) == (ZONED, "companion")
    joined = join_shots([row("a.jpg"), row("a.mp4", LOCAL, time_is="local", time_source=guess)])
    assert (joined[0]["produce_time"], joined[1]["time_source"]) == (None, guess)


@pytest.mark.parametrize(
    ("names", "is_one"),
    [
        (("IMG_1.HEIC", "img_1.mov"), True),
        (("PXL_1.MP.jpg", "PXL_1.MP"), True),
        (("PXL_1.RAW-01.COVER.jpg", "PXL_1.RAW-02.ORIGINAL.dng"), True),
        (("MVIMG_1.jpg", "MVIMG_1.mp4"), True),
        (("IMG_1.jpg", "IMG_1(1).mov"), False),
        (("IMG_1.jpg", "IMG_10.mov"), False),
    ],
)
def test_names_of_one_shot(names: tuple[str, str], is_one: bool) -> None:
    assert (shot_key(names[0]) == shot_key(names[1])) == is_one
