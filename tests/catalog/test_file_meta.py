"""Files by their uris: all that is known of them, and changes of many at once."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from catalog import imm
from catalog.commands.files import files as command
from catalog.edits import read_edits
from catalog.file_meta import INDEPENDENT, UNAVAILABLE, FileUpdate, get_files, read_time, read_updates, update_files
from catalog.lake import Scope
from schemas.errors import NotFound, UsageError
from tests.catalog.conftest import LakeMaker, person_id

FACE = '{"Emotion":"happiness","EmotionConfidence":0.75,"FigureConfidence":1.0}'


@pytest.fixture
def library(maker: LakeMaker) -> LakeMaker:
    """A person with three faces, somebody unknown, a face that is not clustered yet, and a picture of nobody."""
    maker.person(1)
    maker.faces(None, {"nobody": None}, role=None)
    maker.insert("figures", [maker.figure("fresh", attributes=FACE)])
    attributes = '{"ETag":"x","Labels":[{"LabelName":"sea","LabelConfidence":0.5}],"URI":"theirs"}'
    maker.insert("files", [maker.file("oss://b/fresh.jpg", attributes=attributes, labels=["sea"]), maker.file("b.jpg")])
    return maker


def test_figures_tell_whose_they_are(library: LakeMaker) -> None:
    uris = ["oss://b/fresh.jpg", "oss://b/1-a.jpg", "oss://b/nobody.jpg", "b.jpg"]
    files = get_files(library.lake, library.scope, uris)
    assert [file["uri"] for file in files] == uris
    whose = [[(face["figure_id"], face["person"]) for face in file["figures"]] for file in files]
    assert whose == [[("fresh", UNAVAILABLE)], [("1-a", person_id(1))], [("nobody", INDEPENDENT)], []]


def test_documents_have_what_only_the_source_knows(library: LakeMaker) -> None:
    (file,) = get_files(library.lake, library.scope, ["oss://b/fresh.jpg"])
    document = imm.file(file, "en")
    assert (document["URI"], document["ETag"], document["FigureCount"]) == ("oss://b/fresh.jpg", "x", 1)
    assert document["Labels"] == [{"LabelName": "sea", "LabelConfidence": 0.5}]
    (figure,) = document["Figures"]
    assert (figure["FigureId"], figure["FigureClusterId"], figure["Emotion"]) == ("fresh", UNAVAILABLE, "happiness")
    assert figure["Boundary"] == {"Left": 1, "Top": 2, "Width": 120, "Height": 140}
    models = pytest.importorskip("alibabacloud_imm20200930.models")
    read = models.File().from_map(document)
    assert (read.etag, read.figures[0].emotion_confidence, read.labels[0].label_confidence) == ("x", 0.75, 0.5)


def test_what_is_not_there_is_named_before_anything_is_written(library: LakeMaker) -> None:
    with pytest.raises(NotFound, match=r"no file nix\.jpg"):
        get_files(library.lake, library.scope, ["b.jpg", "nix.jpg"])
    updates = [FileUpdate.of("b.jpg", {"custom_id": "x"}), FileUpdate.of("nix.jpg", {"custom_id": "x"})]
    with pytest.raises(NotFound, match=r"nix\.jpg"):
        update_files(library.lake, library.scope, updates)
    with pytest.raises(UsageError, match="more than once"):
        update_files(library.lake, library.scope, [updates[0], updates[0]])
    assert library.lake.count("file_edits", "file_edits") == 0


def test_a_uri_of_several_datasets_needs_one_named(library: LakeMaker) -> None:
    library.insert("files", [library.file("b.jpg", dataset="ben")])
    with pytest.raises(UsageError, match="more than one dataset"):
        get_files(library.lake, library.scope, ["b.jpg"])
    assert get_files(library.lake, Scope("demo", ("ben",)), ["b.jpg"])[0]["dataset_name"] == "ben"


def test_a_path_stands_for_the_uri_that_pictures_have(maker: LakeMaker, tmp_path: Path) -> None:
    path = tmp_path / "a picture.jpg"
    maker.insert("files", [maker.file(path.as_uri())])
    assert get_files(maker.lake, maker.scope, [str(path)])[0]["uri"] == path.as_uri()


def test_a_face_is_given_to_a_person_and_taken_away(library: LakeMaker) -> None:
    given = FileUpdate.of("oss://b/fresh.jpg", {}, figures={"fresh": person_id(1).removeprefix("Cluster-")})
    taken = FileUpdate.of("oss://b/1-a.jpg", {}, figures={"1-a": "independent"})
    update_files(library.lake, library.scope, [given, taken])
    edits = read_edits(library.lake, library.scope, "figures")
    assert [(e["action"], e["figure_id"], e["object_id"]) for e in edits] == [
        ("join", "fresh", person_id(1)),
        ("part", "1-a", person_id(1)),
    ]
    with pytest.raises(NotFound, match=r"no face '1-a' in b\.jpg"):
        update_files(library.lake, library.scope, [FileUpdate.of("b.jpg", {}, figures={"1-a": "independent"})])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-04T18:30:00+08:00", (datetime(2026, 3, 4, 10, 30, tzinfo=UTC), "offset", 480)),
        ("2026-03-04T10:30:00Z", (datetime(2026, 3, 4, 10, 30, tzinfo=UTC), "instant", None)),
        ("2026-03-04 18:30", (datetime(2026, 3, 4, 18, 30, tzinfo=UTC), "local", None)),
        ("1968-07-04", (datetime(1968, 7, 4, tzinfo=UTC), "local", None)),
    ],
)
def test_times_as_people_write_them(text: str, expected: tuple[Any, ...]) -> None:
    assert read_time(text) == dict(zip(("produce_time", "time_is", "utc_offset"), expected, strict=True))


@pytest.mark.parametrize(
    "text", ["yesterday", "2026-02-30", "2026-03-04T18:30:00+15:00", "2026-03-04T18:30:00+08:00:30"]
)
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a time"):
        read_time(text)


def test_many_at_once(library: LakeMaker, tmp_path: Path) -> None:
    source = tmp_path / "changes.jsonl"
    lines = [
        {"uri": "b.jpg", "custom_labels": {"k": "v"}, "produce_time": "2020-05-01T12:00:00+09:00"},
        {"uri": "oss://b/1-a.jpg", "latitude": 1.5, "longitude": 2.5, "address": {"country": "Japan"}},
    ]
    source.write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    options = ["--lake", library.root, "--project", "demo"]
    ran = CliRunner().invoke(command, ["update", "--from", str(source), *options])
    assert ran.output.startswith("Updated 2 files."), ran.output
    uris = tmp_path / "uris.txt"
    uris.write_text("b.jpg\noss://b/1-a.jpg\n")
    shown = json.loads(CliRunner().invoke(command, ["get", "--from", str(uris), "--json", *options]).output)["Files"]
    assert (shown[0]["CustomLabels"], shown[0]["ProduceTime"]) == ({"k": "v"}, "2020-05-01T12:00:00+09:00")
    assert (shown[1]["LatLong"], shown[1]["Addresses"][0]["Country"]) == ("1.5,2.5", "Japan")
    ran = CliRunner().invoke(command, ["update", "b.jpg", "--undo", "time", "--undo", "custom-labels", *options])
    (file,) = get_files(library.lake, library.scope, ["b.jpg"])
    assert (file["time_is"], file["utc_offset"], file["custom_labels"]) == ("offset", 480, None)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("b.jpg", "line 1: no JSON object"),
        ('{"custom_id": "x"}', "line 1: a JSON object with a uri"),
        ('{"uri": "b.jpg", "colour": 1}', "no field 'colour'"),
        ('{"uri": "b.jpg"}', "nothing to change"),
        ('{"uri": "b.jpg", "produce_time": "then"}', "'then' is not a time"),
    ],
)
def test_a_line_that_is_wrong_is_named(tmp_path: Path, line: str, told: str) -> None:
    source = tmp_path / "changes.jsonl"
    source.write_text(line)
    with pytest.raises(UsageError, match=told):
        read_updates(source)
