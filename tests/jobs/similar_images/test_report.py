"""Tests of the review page of similar images: what is on it, what is escaped, and how a browser takes it."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw, ImageFilter

from catalog.similar_images import Marks, find_cluster, update_cluster
from jobs.cli.main import lakealbum, run
from jobs.pages.page import page_foot, page_head, quoted
from jobs.pages.thumbnails import EDGE, Thumbnail, ThumbnailReader, Unreadable, placeholder, stored_thumbnail
from jobs.similar_images.page import Group, Picture, group_section
from tests.catalog.conftest import DAY, NOON, LakeMaker, empty_lake, group_id, look, maker  # noqa: F401

pytestmark = pytest.mark.long

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
)
HOSTILE = "oss://b/<script>alert(1)</script>'\"><img src=x onerror=alert(2)>&amp;\x1b[31m.jpg"


@dataclass
class Page(HTMLParser):
    """What a test looks at of a page: tags with their attributes, and the text within each section."""

    tags: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    sections: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag == "section":
            self.sections.append("")

    def handle_data(self, data: str) -> None:
        if self.sections:
            self.sections[-1] += data + " "

    def all(self, tag: str) -> list[dict[str, str]]:
        """The attributes of each tag of a name."""
        return [attributes for name, attributes in self.tags if name == tag]


def parsed(text: str) -> Page:
    page = Page()
    page.feed(text)
    return page


def unquoted(word: str) -> str:
    """What bash takes a word for."""
    done = subprocess.run(
        ["bash", "-c", f"printf %s {word}"], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"}
    )
    return done.stdout.decode()


def scene(seed: int, size: tuple[int, int] = (640, 480)) -> Image.Image:
    """A made-up landscape: sky, sun, hills."""
    width, height = size
    picture = Image.new("RGB", size, (150 + seed * 7 % 80, 190, 235))
    draw = ImageDraw.Draw(picture)
    x = width * (seed % 5 + 1) // 6
    draw.ellipse((x, height // 8, x + width // 9, height // 8 + width // 9), fill=(255, 225, 120))
    for layer in range(4):
        base = height * (5 + layer) // 9
        hill = [(width * n // 6, base - (seed * 37 + n * 53 + layer * 29) % (height // 5)) for n in range(7)]
        draw.polygon([*hill, (width, height), (0, height)], fill=(60 - layer * 9, 140 - layer * 22, 80 - layer * 8))
    return picture.filter(ImageFilter.GaussianBlur(1))


@pytest.fixture
def album(maker: LakeMaker, tmp_path: Path) -> LakeMaker:  # noqa: F811
    """Four groups: near-duplicates with real files, copies, a burst of eight, and what cannot be opened."""
    folder = tmp_path / "pictures & more"
    folder.mkdir()

    def save(name: str, picture: Image.Image, **options: Any) -> str:
        picture.save(folder / name, **options)
        return (folder / name).as_uri()

    exif = Image.Exif()
    exif[0x0112] = 6
    near = [
        save("IMG_2041.jpg", scene(3), quality=92),
        save("IMG_2041 (edited).jpg", scene(3).point(lambda v: min(255, v + 18)), quality=80),
        save("IMG_2041-small.webp", scene(3).resize((320, 240))),
        save("turned.jpg", scene(3).rotate(90, expand=True), exif=exif),
        save("logo.png", scene(3).convert("P")),
    ]
    copies = [save("a#1.tif", scene(8)), save("b#2.tif", scene(8))]
    burst = [save(f"BURST{n:03}.jpg", scene(20 + n // 3), quality=70) for n in range(8)]
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    lost = [(folder / "lost.heic").as_uri(), (folder / "broken.jpg").as_uri(), HOSTILE]
    maker.group(0, near, update_time=NOON)
    maker.insert("similar_image_clusters", [maker.similar_cluster(1, copies, kind="copies", update_time=NOON + DAY)])
    same = maker.members(1, copies, fingerprint=look(copies[0]))
    maker.insert("similar_image_members", [same[0], same[1] | {"kind": "copy"}])
    maker.group(2, burst, kind="burst", update_time=NOON + 2 * DAY)
    maker.group(3, lost, update_time=NOON + 3 * DAY)
    files = [
        maker.file(uri, size=1_234_567 + n, image_width=640, image_height=480, content_hash="h")
        for n, uri in enumerate([*near, *copies, *burst, *lost])
    ]
    maker.insert("files", files)
    maker.insert("file_features", [maker.features(lost[0])])
    maker.insert(
        "similar_image_pairs",
        [
            maker.pair(near[0], near[1]),
            maker.pair(near[0], near[3], signal="turned", distance=5),
            maker.pair(near[0], near[2], signal="crop", similarity=0.913),
        ],
    )
    update_cluster(maker.lake, maker.scope, group_id(3), {"title": "</title><script>alert(3)</script>"})
    update_cluster(maker.lake, maker.scope, group_id(2), {}, Marks(keep=(burst[4],)))
    return maker


def report(maker: LakeMaker, out: Path, *options: str, code: int = 0) -> None:  # noqa: F811
    arguments = ["report", "similar-images", "--lake", maker.root, "--project", "demo", "--out", str(out), *options]
    assert run(lakealbum, arguments, "lakealbum") == code


def test_the_page_shows_every_picture_best_first(
    album: LakeMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "review.html"
    report(album, out)
    assert f"{out}: 4 clusters, 18 pictures. 3 could not be opened." in capsys.readouterr().out
    page = parsed(out.read_text(encoding="utf-8"))
    images = page.all("img")
    assert len(images) == 18
    assert {re.split("[:;]", image["src"])[0] for image in images} == {"data"}
    sections = page.all("section")
    ids = [re.search(r"SimilarImageCluster-\S+", section["data-command"]) for section in sections]
    assert [found and found[0] for found in ids] == [group_id(2), group_id(0), group_id(3), group_id(1)]
    quoted = [unquoted(item["data-quoted"]) for item in page.all("li") if "data-quoted" in item]
    expected = [
        member["uri"]
        for number in (2, 0, 3, 1)
        for member in find_cluster(album.lake, album.scope, group_id(number))["members"]
    ]
    assert quoted == expected
    assert "kept" in page.sections[0]
    assert page.sections[0].index("BURST004.jpg") < page.sections[0].index("BURST000.jpg")
    for part in (
        "score 0.90",
        "near-duplicate: 8 of 256 bits from the best",
        "turned, 5 of 256 bits from the best",
        "crop, 91.3% similar to the best",
        "95.0% similar to the representative",
        "640 x 480, 1.2 MB",
        "2026-03-04 10:00:00+08:00",
        f"lakealbum update similar-images {group_id(0)} --lake {shlex.quote(album.root)} --project demo --keep",
        f"lakealbum delete similar-images {group_id(0)}",
    ):
        assert part in page.sections[1], part
    assert "same content as the best" in page.sections[3]
    assert "coarse preview; the file cannot be shown: no such file" in page.sections[2]
    assert "cannot be shown: " in page.sections[2]


def test_nothing_of_the_lake_is_taken_for_html(album: LakeMaker, tmp_path: Path) -> None:
    out = tmp_path / "review.html"
    report(album, out)
    text = out.read_text(encoding="utf-8")
    page = parsed(text)
    assert len(page.all("script")) == len(page.all("title")) == 1
    assert "\x1b" not in text
    assert all("onerror" not in attributes for _, attributes in page.tags)
    assert "</title><script>alert(3)</script>" in page.sections[2]
    assert HOSTILE in [unquoted(item["data-quoted"]) for item in page.all("li") if "data-quoted" in item]


def test_nothing_comes_from_elsewhere(album: LakeMaker, tmp_path: Path) -> None:
    out = tmp_path / "review.html"
    report(album, out)
    page = parsed(out.read_text(encoding="utf-8"))
    linking = {"src", "href", "srcset", "action", "data", "poster", "style", "background"}
    urls = [value for _, attributes in page.tags for name, value in attributes.items() if name in linking]
    assert all(url.startswith("data:image/") for url in urls)
    assert not {"link", "iframe", "object", "embed", "base", "form"} & {name for name, _ in page.tags}
    [style] = re.findall("<style>(.*?)</style>", out.read_text(encoding="utf-8"), re.DOTALL)
    assert "url(" not in style
    assert "@import" not in style


def test_clusters_are_chosen_and_counted(album: LakeMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "review.html"
    report(album, out, "--kind", "burst", "--kind", "copies", "--sort", "update-time", "--order", "asc", "--json")
    counts = json.loads(capsys.readouterr().out)
    assert (counts["Clusters"], counts["Files"], counts["NotOpened"]) == (2, 10, 0)
    assert "copies" in parsed(out.read_text(encoding="utf-8")).sections[0]
    report(album, out, "--max-clusters", "1")
    assert "1 clusters (there are more)" in out.read_text(encoding="utf-8")


def test_more_clusters_than_are_read_at_once(maker: LakeMaker, tmp_path: Path) -> None:  # noqa: F811
    rows = [maker.similar_cluster(n) for n in range(45)]
    maker.insert("similar_image_clusters", rows)
    maker.insert("similar_image_members", [row for n in range(45) for row in maker.members(n, [f"/no/{n}/a", "/no/b"])])
    out = tmp_path / "review.html"
    report(maker, out, "--max-clusters", "41")
    assert len(parsed(out.read_text(encoding="utf-8")).all("section")) == 41


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--sort", "size"), "sort 'size' is not one of files, update-time, create-time"),
        (("--kind", "copy"), "kind 'copy' is not one of copies"),
        (("--dataset", "cleo"), "no dataset 'cleo'"),
        (("--out", "/nowhere/at/all.html"), "--out '/nowhere/at/all.html' cannot be written: No such file"),
    ],
)
def test_wrong_usage_is_told(
    album: LakeMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: Sequence[str], message: str
) -> None:
    report(album, tmp_path / "review.html", *options, code=1 if "cleo" in options else 2)
    assert message in capsys.readouterr().err


def test_an_empty_lake_has_an_empty_page(maker: LakeMaker, tmp_path: Path) -> None:  # noqa: F811
    report(maker, tmp_path / "review.html")
    assert "There are no similar images to review." in (tmp_path / "review.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("mode", "suffix"), [("RGBA", "png"), ("LA", "png"), ("CMYK", "jpg"), ("I;16", "png"), ("1", "bmp")]
)
def test_every_mode_becomes_a_thumbnail(tmp_path: Path, mode: str, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.new(mode, (1200, 600)).save(path)
    with ThumbnailReader() as reader:
        [small] = reader.read([str(path)])
    assert isinstance(small, Thumbnail)
    assert (small.width, small.height) == (EDGE, EDGE // 2)


def test_what_cannot_be_opened_says_why(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("no picture")
    bomb = b"BM" + bytes(12) + (40).to_bytes(4, "little") + (60_000).to_bytes(4, "little") * 2
    (tmp_path / "bomb.bmp").write_bytes(bomb + b"\x01\x00\x18\x00" + bytes(64))
    uris = [str(tmp_path / name) for name in ("empty.jpg", "text.jpg", "bomb.bmp", "none.jpg", ".")]
    with ThumbnailReader() as reader:
        found = list(reader.read([*uris, "nowhere://x/y.jpg", "s3://%zz/\x00"]))
    assert all(isinstance(small, Unreadable) and small.reason for small in found)
    assert found[3] == found[4] == Unreadable("no such file")


def test_colours_and_orientation_are_the_picture_s(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 8
    profile = b"\0" * 600
    Image.new("RGB", (900, 300), "red").save(tmp_path / "a.jpg", exif=exif, icc_profile=profile)
    with ThumbnailReader() as reader:
        [small] = reader.read([str(tmp_path / "a.jpg")])
    assert isinstance(small, Thumbnail)
    assert (small.width, small.height) == (EDGE // 3, EDGE)


def test_a_stored_thumbnail_has_the_shape_of_its_picture() -> None:
    small = stored_thumbnail(bytes(1024), 400, 800, "gone")
    assert (small.width, small.height) == (EDGE // 4, EDGE // 2)


@pytest.mark.skipif(not CHROMIUM, reason="no chromium on PATH: apt-get install chromium")
def test_a_browser_shows_every_picture(album: LakeMaker, tmp_path: Path) -> None:
    out = tmp_path / "review.html"
    report(album, out)
    assert '<html lang="en" class="js">' in browse(tmp_path, "--dump-dom", out.as_uri())  # the policy lets it run
    counting = (
        "<script>addEventListener('load', () => { const images = [...document.images];"
        "document.querySelectorAll('input')[0].click();"
        "document.documentElement.dataset.shown = images.filter(i => i.naturalWidth > 0).length + '/' + images.length;"
        "document.documentElement.dataset.wide = document.documentElement.scrollWidth > innerWidth;"
        "document.documentElement.dataset.said = document.getElementById('commands').value; })</script>"
    )
    probe = tmp_path / "probe.html"
    text = out.read_text(encoding="utf-8").replace('loading="lazy"', "")
    probe.write_text(re.sub("<meta http-equiv=[^>]*>", "", text) + counting, encoding="utf-8")
    dom = browse(tmp_path, "--dump-dom", "--window-size=400,900", probe.as_uri())
    [root] = parsed(dom).all("html")
    assert root["data-shown"] == "18/18"
    assert root["data-wide"] == "false"
    assert re.fullmatch(
        rf"lakealbum update similar-images {group_id(2)} .* --unkeep \S*BURST004.jpg", root["data-said"]
    )
    shot = tmp_path / "shot.png"
    browse(tmp_path, f"--screenshot={shot}", "--window-size=1280,1000", "--hide-scrollbars", out.as_uri())
    with Image.open(shot) as image:
        assert image.size == (1280, 1000)
        assert len(image.convert("RGB").getcolors(2**21) or []) > 1000  # pictures, not an empty page


def browse(tmp_path: Path, *options: str) -> str:
    """What headless Chromium prints."""
    plain = (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        f"--user-data-dir={tmp_path}/chrome",
    )
    done = subprocess.run([CHROMIUM, *plain, *options], capture_output=True, text=True, timeout=120, check=True)
    return done.stdout


@pytest.mark.parametrize("text", ["a b", "it's", "a\x1b[201~; echo '\\'", "a\nb\r", "\x85\u202e\U000e0001x", "-x"])
def test_words_are_quoted_for_a_shell(text: str) -> None:
    assert unquoted(quoted(text)) == text
    assert quoted(text).isprintable()


def test_a_page_of_many_pictures_is_written_as_it_is_made() -> None:
    small = placeholder("x")
    picture = Picture("oss://b/a.jpg", small, 0.5, "copy", "", "", "", kept=False, best=True)
    group = Group(
        "SimilarImageCluster-1", None, "ada", "copies", 500, "today", "oss://b/a.jpg", [picture], ["--lake", "l"]
    )
    text = page_head("A", ["b"], hint="c") + group_section(group, 1) + page_foot()
    assert "and 499 more" in text
    assert text.count("<section") == text.count("</section>") == 1
