"""Tests of the page of people: whose faces are on it, cut out of which place, and how a browser takes it."""

from __future__ import annotations

import base64
import io
import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from catalog.figures import Change, update_person
from jobs.cli.main import lakealbum, run
from jobs.pages.thumbnails import CROP_EDGE, Box, Crops, Thumbnail, ThumbnailReader, Unreadable
from tests.catalog.conftest import LakeMaker, empty_lake, maker, person_id  # noqa: F401
from tests.jobs.similar_images.test_report import CHROMIUM, browse, parsed, unquoted

pytestmark = pytest.mark.long

COLOURS = [(200, 40, 40), (40, 160, 60), (40, 60, 200)]


def picture(path: Path, boxes: dict[tuple[int, int, int, int], tuple[int, int, int]], **options: Any) -> str:
    """Saves a grey picture of 800 x 600 with heads of these colours in these boxes."""
    image = Image.new("RGB", (800, 600), (120, 120, 120))
    draw = ImageDraw.Draw(image)
    for (left, top, width, height), colour in boxes.items():
        draw.ellipse((left, top, left + width, top + height), fill=colour)
        for x in (0.3, 0.62):
            eye = (left + x * width, top + 0.35 * height)
            draw.ellipse((*eye, eye[0] + width / 12, eye[1] + height / 12), fill="white")
    turn = options.pop("turn", None)
    if turn:
        image = image.rotate(turn, expand=True)
    image.save(path, **options)
    return path.as_uri()


@dataclass
class People:
    """A lake of people, and the pictures that show them."""

    maker: LakeMaker
    lost: str

    def add(self, person: int | None, name: str, uri: str, box: Any, embedding: np.ndarray, **given: Any) -> None:
        """A face of a person."""
        maker, role = self.maker, given.pop("role", "founder")  # noqa: F811
        boundary = dict(zip(("left", "top", "width", "height"), box, strict=True)) if box else None
        more = {"uri": uri, "boundary": boundary, "face_quality": given.pop("quality", 0.9), "model": "yunet-sface/1"}
        row = maker.figure(name, [float(x) for x in embedding], **more)
        same = ("bucket", "project_name", "dataset_name", "figure_id", "uri", "run_id")
        told = {"object_id": person_id(person), "confidence": given.pop("confidence", 1.0), "role": role}
        maker.insert("figures", [row])
        maker.insert("figure_members", [{**{key: row[key] for key in same}, **told}])


@pytest.fixture
def people(maker: LakeMaker, tmp_path: Path) -> People:  # noqa: F811
    """Two people who look alike, the larger with faces in doubt, and one of whom there is a name, but no picture."""
    folder = tmp_path / "pictures & more"
    folder.mkdir()
    rng = np.random.default_rng(7)
    centres = rng.standard_normal((3, 64))
    centres[1] = centres[0] + 0.7 * centres[1]
    lake = People(maker, (folder / "lost.jpg").as_uri())
    exif = Image.Exif()
    exif[0x0112] = 6  # stored turned to the left, shown upright
    box = (500, 100, 120, 150)
    for number in range(2):
        colour = COLOURS[number]
        for n in range(4 - number):
            turned = {"turn": 90, "exif": exif} if n == 0 else {}
            uri = picture(folder / f"{number}-{n}.jpg", {box: colour}, quality=92, **turned)
            face = centres[number] + 0.3 * rng.standard_normal(64)
            lake.add(number, f"{number}-{n}", uri, box, face, quality=0.95 - n / 50)
    for n, confidence in enumerate((0.62, 0.41)):
        uri = picture(folder / f"doubt-{n}.png", {(10, 20, 60, 60): COLOURS[2]})
        lake.add(0, f"doubt{n}", uri, (10, 20, 60, 60), centres[0], role="joined", confidence=confidence, quality=None)
    for n in range(3):
        lake.add(2, f"2-{n}", lake.lost, (1, 2, 90, 90) if n else None, centres[2])
    for number, faces in enumerate((6, 3, 3)):
        ages = {"min_age": 30, "max_age": 41, "gender": "female"} if number == 1 else {}
        maker.insert("figure_clusters", [person_row(maker, number, faces, **ages)])
    update_person(maker.lake, maker.scope, person_id(2), Change({"title": "O'Hara </title><script>alert(1)</script>"}))
    return lake


def person_row(maker: LakeMaker, number: int, faces: int, **given: Any) -> dict[str, Any]:  # noqa: F811
    """A row of figure_clusters."""
    key = maker.figure("x")
    count = dict.fromkeys(("faces", "founders", "files", "images"), faces)
    first = {"cover_figure_id": f"{number}-0", "representative": f"{number}-0", "anchor": f"{number}-0"}
    return {
        **{name: key[name] for name in ("bucket", "project_name", "dataset_name", "run_id", "update_time")},
        "object_id": person_id(number),
        "state": "live",
        **count,
        "videos": 0,
        **first,
        "cover_uri": "file:///x",
        "generation": 1,
        "create_time": key["update_time"],
        **given,
    }


def report(people: People, out: Path, *options: str, code: int = 0) -> None:
    arguments = ["report", "figures", "--lake", people.maker.root, "--project", "demo", "--out", str(out), *options]
    assert run(lakealbum, arguments, "lakealbum") == code


def pixel(source: str) -> tuple[int, ...]:
    """The colour in the middle of a data URI's picture."""
    with Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) as image:
        assert max(image.size) <= CROP_EDGE
        return tuple(image.convert("RGB").getpixel((image.width // 2, image.height // 2)))


def test_people_with_their_faces_best_first(people: People, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "people.html"
    report(people, out)
    told = "3 people, 12 faces, 2 of them in doubt; 1 pair may be the same person. 1 picture could not be opened."
    assert f"{out}: {told}" in capsys.readouterr().out
    page = parsed(out.read_text(encoding="utf-8"))
    ids = [re.findall(r"Cluster-\S+", section["data-command"]) for section in page.all("section")]
    assert ids[0] == [person_id(0)]
    assert sorted(ids[1:3]) == sorted([[person_id(1)], [person_id(2)]])
    faces = [unquoted(item["data-quoted"]) for item in page.all("li") if "data-quoted" in item]
    assert faces[:6] == ["0-0", "0-1", "0-2", "0-3", "doubt1", "doubt0"]
    assert "6 faces in 6 files · dataset ada" in page.sections[0]
    assert page.sections[0].index("In doubt") < page.sections[0].index("confidence 0.41")
    assert "confidence 0.41" in page.sections[0]
    named = {object_id: text for [object_id], text in zip(ids[:3], page.sections[:3], strict=True)}
    assert "female, 30 to 41 years" in named[person_id(1)]
    assert "years" not in named[person_id(0)]
    assert "None" not in "".join(page.sections)
    assert "cannot be shown: no such file" in named[person_id(2)]
    assert "it is not known where in the picture it is" in named[person_id(2)]
    shown = [image["src"] for image in page.all("img")]
    for source, colour in zip(shown[:6], [COLOURS[0]] * 4 + [COLOURS[2]] * 2, strict=True):
        assert np.abs(np.subtract(pixel(source), colour)).max() < 30


def test_people_who_may_be_the_same_are_side_by_side(people: People, tmp_path: Path) -> None:
    out = tmp_path / "people.html"
    report(people, out)
    page = parsed(out.read_text(encoding="utf-8"))
    [pair] = [section for section in page.all("section") if section["class"] == "pair"]
    assert f"update figures {person_id(0)} " in pair["data-command"]
    assert [unquoted(each["data-quoted"]) for each in page.all("p") if "data-quoted" in each] == [person_id(1)]
    assert "The same person?" in page.sections[-1]
    assert f"--merge {person_id(1)}" in page.sections[-1]


def test_nothing_of_the_lake_is_taken_for_html_and_nothing_comes_from_elsewhere(people: People, tmp_path: Path) -> None:
    out = tmp_path / "people.html"
    report(people, out)
    page = parsed(out.read_text(encoding="utf-8"))
    assert len(page.all("script")) == len(page.all("title")) == 1
    linking = {"src", "href", "srcset", "action", "data", "poster", "style", "background"}
    urls = [value for _, attributes in page.tags for name, value in attributes.items() if name in linking]
    assert urls
    assert all(url.startswith("data:image/") for url in urls)


def test_people_are_chosen_and_counted(people: People, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "people.html"
    report(people, out, "--max-people", "1", "--max-faces", "2", "--json")
    counts = json.loads(capsys.readouterr().out)
    assert {name: counts[name] for name in ("People", "Faces", "Shown", "Doubtful", "MayBeTheSame", "NotOpened")} == {
        "People": 1, "Faces": 6, "Shown": 4, "Doubtful": 2, "MayBeTheSame": 0, "NotOpened": 0,
    }  # fmt: skip
    assert "and 2 more" in out.read_text(encoding="utf-8")
    report(people, out, "--sort", "size", code=2)
    assert "sort 'size' is not one of faces, name" in capsys.readouterr().err


def test_an_empty_lake_has_an_empty_page(maker: LakeMaker, tmp_path: Path) -> None:  # noqa: F811
    report(People(maker, ""), tmp_path / "people.html")
    assert "There are no people to review." in (tmp_path / "people.html").read_text(encoding="utf-8")


def test_a_box_outside_the_picture_and_a_small_face_in_a_large_picture(tmp_path: Path) -> None:
    Image.new("RGB", (4000, 3000), "red").save(tmp_path / "a.jpg")
    boxes = [Box(3950, 2950, 40, 40), Box(5000, 10, 40, 40), Box(0, 0, 3000, 3000)]
    with ThumbnailReader() as reader:
        [[corner, outside, large]] = reader.read_crops([Crops(str(tmp_path / "a.jpg"), boxes)])
    assert isinstance(corner, Thumbnail)
    assert isinstance(large, Thumbnail)
    assert max(large.width, large.height) == CROP_EDGE
    assert outside == Unreadable("the face's box lies outside the picture")


@pytest.mark.skipif(not CHROMIUM, reason="no chromium on PATH: apt-get install chromium")
def test_a_browser_gathers_what_is_ticked_and_named(people: People, tmp_path: Path) -> None:
    out = tmp_path / "people.html"
    report(people, out)
    assert '<html lang="en" class="js">' in browse(tmp_path, "--dump-dom", out.as_uri())  # the policy lets it run
    acting = (
        "<script>addEventListener('load', () => { const images = [...document.images];"
        "const name = document.querySelector('input[type=text]'); name.value = \"Ada O'Neil\";"
        "name.dispatchEvent(new Event('change', {bubbles: true}));"
        "document.querySelector('.doubtful input').click();"
        "document.querySelectorAll('.faces input')[1].click();"
        "document.querySelector('.pair input').click();"
        "document.documentElement.dataset.shown = images.filter(i => i.naturalWidth > 0).length + '/' + images.length;"
        "document.documentElement.dataset.wide = document.documentElement.scrollWidth > innerWidth;"
        "document.documentElement.dataset.said = document.getElementById('commands').value; })</script>"
    )
    probe = tmp_path / "probe.html"
    text = out.read_text(encoding="utf-8").replace('loading="lazy"', "")
    probe.write_text(re.sub("<meta http-equiv=[^>]*>", "", text) + acting, encoding="utf-8")
    [root] = parsed(browse(tmp_path, "--dump-dom", "--window-size=400,900", probe.as_uri())).all("html")
    shown, every = root["data-shown"].split("/")
    assert shown == every
    assert int(every) > 12  # the pair's, too
    assert root["data-wide"] == "false"
    own = ["--lake", people.maker.root, "--project", "demo"]
    begin = ["lakealbum", "update", "figures", person_id(0), *own]
    assert [shlex.split(line) for line in root["data-said"].splitlines()] == [
        [*begin, "--name", "Ada O'Neil", "--not-this-person", "0-1", "--this-person", "doubt1"],
        [*begin, "--merge", person_id(1)],
    ]
    for line in root["data-said"].splitlines():  # what is gathered is accepted as it stands
        assert run(lakealbum, shlex.split(line)[1:], "lakealbum") == 0
    shot = tmp_path / "shot.png"
    browse(tmp_path, f"--screenshot={shot}", "--window-size=1280,1400", "--hide-scrollbars", out.as_uri())
    with Image.open(shot) as image:
        assert len(image.convert("RGB").getcolors(2**21) or []) > 300
