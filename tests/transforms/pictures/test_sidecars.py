"""`transforms.pictures.sidecars`: which sidecar belongs to which picture, by names alone."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.pictures.sidecars import EDITED, match_sidecars

LONG = "Screenshot_20190716-112233_Facebook_Messenger_beta"
JAPANESE = "写真の名前がとても長い場合には四十六文字で切られることがありますので気をつけてくださいね本当に"
MARK = ".supplemental-metadata"


@pytest.mark.parametrize(
    ("picture", "sidecar"),
    [
        ("IMG_1.jpg", "IMG_1.jpg.json"),
        ("IMG_1.jpg", "IMG_1.jpg.supplemental-metadata.json"),
        ("IMG_1.jpg", "IMG_1.jpg.supplemental-me.json"),
        ("IMG_1.jpg", "IMG_1.jpg.s.json"),
        ("IMG_1.jpg", "IMG_1.jpg..json"),
        ("IMG_1.jpg", "IMG_1.json"),
        ("IMG_1.JPG", "IMG_1.jpg.JSON"),
        ("IMG_1.jpg", "img_1.JPG.Supplemental-Metadata.json"),
        ("IMG_1(2).jpg", "IMG_1.jpg(2).json"),
        ("IMG_1(2).jpg", "IMG_1.jpg.supplemental-metadata(2).json"),
        ("IMG_1(2).jpg", "IMG_1.jpg.suppl(2).json"),
        ("IMG_1(2).jpg", "IMG_1(2).jpg.json"),
        ("IMG_1(2).jpg", "IMG_1(2).json"),
        ("2025-04-28(3).jpg", "2025-04-28.jpg.supplemental-metadata(3).json"),
        (f"{LONG}.jpg", f"{LONG}.jpg"[:46] + ".json"),
        (f"{LONG}.jpg", f"{LONG}.jpg"[:51] + ".json"),
        (f"{LONG[:44]}.jpg", f"{LONG[:44]}.jpg{MARK}"[:46] + ".json"),
        (f"{LONG}(1).jpg", f"{LONG}.jpg"[:46] + "(1).json"),
        (f"{LONG[:47]}.jpg", f"{LONG}.jpg"[:46] + ".json"),
        ("été.jpg", unicodedata.normalize("NFD", "été") + ".jpg.json"),
        (f"{JAPANESE}.jpg", JAPANESE[:46] + ".json"),
        ("VID_1.mp4", "VID_1.mp4.supplemental-metadata.json"),
        ("PXL_1.MP.jpg", "PXL_1.MP.jpg.supplemental-metadata.json"),
    ],
)  # fmt: skip
def test_takeout(picture: str, sidecar: str) -> None:
    others = ["IMG_2.jpg", "IMG_2.jpg.json", "metadata.json", "notes.txt"]
    found = match_sidecars([picture, sidecar, *others])
    assert found.takeout == {picture: sidecar, "IMG_2.jpg": "IMG_2.jpg.json"}
    assert (found.unmatched, found.xmp) == ([], {})


@pytest.mark.parametrize("word", [*EDITED, "BEARBEITET", unicodedata.normalize("NFD", "modifié")])
def test_edited_copies_in_any_language_take_their_originals_sidecar(word: str) -> None:
    names = [f"IMG_1-{word}.jpg", "IMG_1.jpg", "IMG_1.jpg.json", f"IMG_1-{word}(1).jpg", "IMG_1(1).jpg"]
    found = match_sidecars([*names, "IMG_1.jpg(1).json"])
    assert found.takeout == {
        "IMG_1.jpg": "IMG_1.jpg.json",
        f"IMG_1-{word}.jpg": "IMG_1.jpg.json",
        "IMG_1(1).jpg": "IMG_1.jpg(1).json",
        f"IMG_1-{word}(1).jpg": "IMG_1.jpg(1).json",
    }


def test_an_edited_copy_whose_name_was_cut() -> None:
    stem = "x" * 43
    found = match_sidecars([f"{stem}.jpg", f"{stem}-edi.jpg", f"{stem}.jpg.json"])
    assert found.takeout == {f"{stem}.jpg": f"{stem}.jpg.json", f"{stem}-edi.jpg": f"{stem}.jpg.json"}


def test_the_video_of_a_live_photo_takes_its_pictures() -> None:
    found = match_sidecars(
        ["IMG_1.HEIC", "IMG_1.MP4", "IMG_1.HEIC.json", "PXL_2.MP.jpg", "PXL_2.MP", "PXL_2.MP.jpg.json"]
    )
    assert found.takeout["IMG_1.MP4"] == "IMG_1.HEIC.json"
    assert found.takeout["PXL_2.MP"] == "PXL_2.MP.jpg.json"


def test_what_fits_no_file_is_told() -> None:
    names = [
        "a.jpg",
        "lost.jpg.json",
        "gone.mp4.suppl.json",
        "gone.xmp",
        "metadata.json",
        "Metadaten.json",
        "métadonnées.json",
    ]
    found = match_sidecars(names)
    assert found.unmatched == ["gone.mp4.suppl.json", "lost.jpg.json", "gone.xmp"]
    assert (found.takeout, found.xmp) == ({}, {})


def test_two_long_names_that_begin_alike_are_not_guessed() -> None:
    found = match_sidecars([f"{LONG}_one.jpg", f"{LONG}_two.jpg", LONG[:46] + ".json"])
    assert found.takeout == {}


def test_xmp() -> None:
    names = ["a.jpg", "a.jpg.xmp", "a.dng", "a.xmp", "B.JPG", "b.jpg.XMP", "c.nef", "C.XMP", "d.jpg"]
    found = match_sidecars(names)
    assert found.xmp == {"a.jpg": "a.jpg.xmp", "a.dng": "a.xmp", "B.JPG": "b.jpg.XMP", "c.nef": "C.XMP"}


def test_names_that_differ_by_case_keep_their_own() -> None:
    names = ["a.jpg", "A.jpg", "a.jpg.json", "A.jpg.json", "a.jpg.xmp", "A.jpg.xmp"]
    found = match_sidecars(names)
    assert found.takeout == {"a.jpg": "a.jpg.json", "A.jpg": "A.jpg.json"}
    assert found.xmp == {"a.jpg": "a.jpg.xmp", "A.jpg": "A.jpg.xmp"}


STEMS = st.text("aA1-é(", min_size=1, max_size=3) | st.just("x" * 50) | st.just("IMG_1-edited")
PICTURES = st.builds(
    lambda stem, number, suffix: f"{stem}{number}.{suffix}",
    STEMS,
    st.sampled_from(["", "(1)", "(2)"]),
    st.sampled_from(["jpg", "JPG", "heic", "mp4"]),
)
SIDECARS = st.builds(
    lambda picture, cut, number, suffix: f"{(picture + MARK)[: len(picture) + cut][:46]}{number}.{suffix}",
    PICTURES,
    st.integers(-4, len(MARK)),
    st.sampled_from(["", "(1)", "(2)"]),
    st.sampled_from(["json", "JSON", "xmp"]),
)


@pytest.mark.long
@given(st.sets(PICTURES, max_size=12), st.sets(SIDECARS, max_size=12), st.randoms())
def test_any_folder(pictures: set[str], sidecars: set[str], luck: object) -> None:
    """Order does not matter; pictures get sidecars; each sidecar is used, told as unmatched, or something else."""
    names = sorted(pictures | sidecars)
    found = match_sidecars(names)
    luck.shuffle(names)  # type: ignore[attr-defined]
    assert match_sidecars(names) == found
    for matched in (found.takeout, found.xmp):
        assert matched.keys() <= pictures
        assert set(matched.values()) <= sidecars
        assert not set(matched.values()) & set(found.unmatched)
    for name in pictures:
        if f"{name}.json" in sidecars:
            assert found.takeout[name].startswith(f"{name}.")
        if f"{name}.xmp" in sidecars:
            assert found.xmp[name] == f"{name}.xmp"


@pytest.mark.long
@pytest.mark.parametrize("stem", ["IMG_{}", "x" * 45 + "{}", "{}" + "x" * 60, "same({})"])
def test_large_folders_take_no_quadratic_time(stem: str) -> None:
    names = [stem.format(number) + ".jpg" for number in range(20_000)]
    sidecars = [f"{(name + MARK)[:46]}({number}).json" for number, name in enumerate(names)]
    start = time.process_time()
    match_sidecars([*names, *sidecars])
    assert time.process_time() - start < 10
