"""Conditions on files: what is refused, what they mean by an oracle in plain Python, and limits."""

from __future__ import annotations

import json
import math
import shutil
import string
import tempfile
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from catalog.file_fields import FIELDS
from catalog.files import Aggregation, FileQuery, aggregate_files, query_files
from catalog.imm import file
from catalog.lake import Scope
from catalog.simple_query import conditions, parse_query, read_query
from schemas.errors import LimitExceeded, UsageError
from tests.catalog.conftest import LakeMaker, group_id, person_id
from tests.examples import examples

Document = dict[str, Any]

ADA = Scope("demo", ("ada",))
PHASES = (Phase.explicit, Phase.generate)  # each example writes a lake: shrinking one takes minutes
START = datetime(2026, 3, 4, tzinfo=UTC)


def leaf(field: str, operation: str, value: str | None = None) -> Document:
    """A condition as clients write it."""
    return {"Field": field, "Operation": operation, **({} if value is None else {"Value": value})}


def group(operation: str, *parts: Document, **more: str) -> Document:
    """Conditions under an operator."""
    return {"Operation": operation, "SubQueries": list(parts), **more}


# The oracle: conditions on documents, by the words of the reference.


def values_of(document: Any, path: list[str]) -> Iterator[Any]:
    """All values at a path of a document, those of lists' elements one by one."""
    if isinstance(document, list):
        for element in document:
            yield from values_of(element, path)
    elif not path:
        yield document
    elif isinstance(document, dict) and path[0] in document:
        yield from values_of(document[path[0]], path[1:])


def words(text: str) -> list[str]:
    """Runs of letters and digits in upper case; Chinese letters one by one."""
    found: list[str] = []
    joined = False
    for letter in text.upper():
        if "\u4e00" <= letter <= "\u9fff":
            found.append(letter)
            joined = False
        elif unicodedata.category(letter)[0] in "LMN":
            found[-1:] = [found[-1] + letter] if joined else [*found[-1:], letter]
            joined = True
        else:
            joined = False
    return found


def has_words(text: str, phrase: str) -> bool:
    """Whether the words of a phrase stand side by side in a text."""
    sought, there = words(phrase), words(text)
    return any(there[at : at + len(sought)] == sought for at in range(len(there) - len(sought) + 1))


def metres(one: str, other: str) -> float:
    """The distance of two points on a sphere, by the cosine rule."""
    (a, b), (c, d) = ([math.radians(float(part)) for part in text.split(",")] for text in (one, other))
    cosine = math.sin(a) * math.sin(c) + math.cos(a) * math.cos(c) * math.cos(b - d)
    return 6_371_008.8 * math.acos(min(max(cosine, -1.0), 1.0))


def value_fits(kind: str, value: Any, operation: str, asked: str) -> bool:
    """Whether one value satisfies a condition."""
    if operation == "prefix":
        return str(value).startswith(asked)
    if operation == "match-phrase":
        return has_words(value, asked)
    if operation == "geo-distance":
        centre, _, reach = asked.partition(";")
        return metres(value, centre) <= float(reach)
    if operation == "geo-bounding-box":
        (top, left), (bottom, right) = (map(float, corner.split(",")) for corner in asked.split(";"))
        latitude, longitude = map(float, value.split(","))
        across = left <= longitude <= right if left <= right else longitude >= left or longitude <= right
        return bottom <= latitude <= top and across
    read: Any = {"number": float, "single": float, "time": datetime.fromisoformat}.get(kind, str)
    one, other = read(value), read(asked)
    return bool(
        {"eq": one == other, "gt": one > other, "gte": one >= other, "lt": one < other, "lte": one <= other}[operation]
    )


def fits(condition: Document, document: Any, cut: int = 0) -> bool:
    """Whether a document satisfies a condition, the first `cut` parts of whose paths are gone already."""
    operation, parts = condition["Operation"], condition.get("SubQueries", [])
    if operation == "and":
        return all(fits(part, document, cut) for part in parts)
    if operation == "or":
        return any(fits(part, document, cut) for part in parts)
    if operation == "not":
        return not any(fits(part, document, cut) for part in parts)
    if operation == "nested":
        elements = document.get(condition["Field"], [])
        return any(all(fits(part, element, 1) for part in parts) for element in elements)
    path = condition["Field"].split(".")[cut:]
    if operation == "exist" and condition["Field"] in WHOLE:
        return bool(document.get(condition["Field"]))
    if path[0] == "CustomLabels":  # keys and values in any case; a key may have dots
        path = [path[0], ".".join(path[1:]).upper()]
    found = list(values_of(document, path))
    if operation == "exist":
        return bool(found)
    if path[0] == "CustomLabels":
        return any(value_fits("text", value, operation, condition["Value"].upper()) for value in found)
    kind = FIELDS[condition["Field"]].kind
    return any(value_fits(kind, value, operation, condition["Value"]) for value in found)


# Rows and conditions made up.

TEXTS = st.sampled_from(
    ["", "a", "A", "ab c", "b-c", "杭州", "西湖 b", "it's", "\\", "%", "_", "é", "ab", "{x}", "oss://b/"]
)
NUMBERS = st.sampled_from([0, 1, 2, 3, 7, 2**40, -1])
TIMES = st.builds(lambda days: START + timedelta(days=days, microseconds=days), st.integers(0, 4))
POINTS = st.tuples(
    st.sampled_from([-33.5, 0.0, 30.25, 30.3, 89.0]), st.sampled_from([-179.0, 120.1, 120.2, 0.0, 179.5])
)


@st.composite
def libraries(draw: st.DrawFn) -> list[Document]:
    """Files of a dataset with what stands beside them: columns of `files`, and `places`, `figures`, `score`."""
    uris = draw(
        st.lists(st.text(string.ascii_letters + "/ .", min_size=1, max_size=8), min_size=1, max_size=8, unique=True)
    )
    maybe = lambda values: st.one_of(st.none(), values)  # noqa: E731
    return [
        {
            "uri": uri,
            "media_type": draw(st.sampled_from(["image", "video"])),
            "size": draw(maybe(NUMBERS)),
            "title": draw(maybe(TEXTS)),
            "duration": draw(maybe(st.sampled_from([0.5, 1.0, 2.25]))),
            "produce_time": draw(maybe(TIMES)),
            "labels": draw(maybe(st.lists(TEXTS, max_size=3, unique=True))),
            "point": draw(maybe(POINTS)),
            "city": draw(maybe(TEXTS.filter(bool))),
            "figures": draw(
                st.lists(
                    st.tuples(maybe(st.integers(0, 3)), maybe(st.sampled_from(["male", "female"])), st.integers(-2, 2)),
                    max_size=3,
                )
            ),
            "album": draw(maybe(TEXTS)),
            "custom_labels": draw(st.dictionaries(st.sampled_from(["season", "Ort", "x.y"]), TEXTS, max_size=3)),
            "score": draw(maybe(st.sampled_from([0.0, 0.25, 1.0]))),
        }
        for uri in uris
    ]


def write(maker: LakeMaker, library: list[Document]) -> list[Document]:
    """Puts a library into a lake. Returns its files as documents, by URI, made without the catalog."""
    tables: dict[str, list[Document]] = {
        name: [] for name in ("files", "file_places", "file_features", "file_notes", "figures", "figure_members")
    }
    documents = []
    for row in library:
        uri, point = row["uri"], row["point"]
        where = {"latitude": point and point[0], "longitude": point and point[1]}
        same = {name: row[name] for name in ("media_type", "size", "title", "duration", "produce_time", "labels")}
        tables["files"].append(maker.file(uri, **same, **where, custom_labels=row["custom_labels"] or None))
        shown = {
            "URI": uri,
            "Filename": uri.split("/")[-1],
            "MediaType": row["media_type"],
            "Size": row["size"],
            "Title": row["title"],
            "Duration": row["duration"],
            "ProduceTime": row["produce_time"] and row["produce_time"].isoformat(),
            "Labels": [{"LabelName": label} for label in row["labels"] or []],
            "LatLong": point and f"{point[0]},{point[1]}",
            "FigureCount": len(row["figures"]),
            "Figures": [],
        }
        if row["city"]:
            tables["file_places"].append(maker.file_place(uri, city=row["city"], country="China"))
            shown["Addresses"] = [{"City": row["city"], "Country": "China"}]
        if row["score"] is not None:
            tables["file_features"].append(maker.features(uri, image_score=row["score"]))
            shown["ImageScore"] = {"OverallQualityScore": row["score"]}
        if row["album"] is not None:
            tables["file_notes"].append(maker.file_edit(uri, album=row["album"]))
            shown["Album"] = row["album"]
        if row["custom_labels"]:
            shown["CustomLabels"] = {key.upper(): value.upper() for key, value in row["custom_labels"].items()}
        for number, (age, gender, whose) in enumerate(row["figures"]):
            name = f"{uri}#{number}"
            figure = maker.figure(name, uri=uri, age=age, gender=gender)
            tables["figures"].append(figure)
            face = {"FigureId": name, "Age": age, "Gender": gender, "FigureClusterId": "figure-cluster-id-unavailable"}
            if whose > -2:
                person = person_id(whose) if whose >= 0 else None
                face["FigureClusterId"] = person or "figure-cluster-id-independent"
                member = {
                    name: figure[name]
                    for name in ("bucket", "project_name", "dataset_name", "figure_id", "uri", "run_id")
                }
                sure = 1.0 if person else None
                member |= {"object_id": person, "confidence": sure, "role": "founder" if person else None}
                tables["figure_members"].append(member)
            shown["Figures"].append({key: value for key, value in face.items() if value is not None})
        documents.append({key: value for key, value in shown.items() if value is not None})
    for name, rows in tables.items():
        if rows:
            maker.insert(name, rows)
    return sorted(documents, key=lambda document: document["URI"])


COMPARISONS = st.sampled_from(["eq", "gt", "gte", "lt", "lte"])
OF_TEXT = st.one_of(COMPARISONS, st.sampled_from(["prefix", "match-phrase"]))
TEXT_FIELDS = ["URI", "Filename", "Title", "MediaType", "Album"]
LIST_TEXTS = ["Labels.LabelName", "Addresses.City", "Figures.Gender"]
NUMBER_FIELDS = ["Size", "Duration", "FigureCount", "ImageScore.OverallQualityScore", "Bitrate"]
PEOPLE = st.sampled_from([person_id(0), person_id(1), "figure-cluster-id-independent", "figure-cluster-id-unavailable"])
WHOLE = ["Labels", "Figures", "Addresses", "CustomLabels", "Elements", "OSSTagging"]
NUMBER_TEXTS = st.sampled_from(["0", "1", "2", "0.25", "-1", "1e12", "1099511627776", "2.5", "99999999999999999999"])
EXISTENCE = st.builds(
    leaf,
    st.sampled_from([*TEXT_FIELDS, *LIST_TEXTS, *NUMBER_FIELDS, "LatLong", "ProduceTime", *WHOLE]),
    st.just("exist"),
)
FIGURE_LEAVES = st.one_of(
    st.builds(leaf, st.just("Figures.Age"), COMPARISONS, NUMBER_TEXTS),
    st.builds(leaf, st.just("Figures.Gender"), OF_TEXT, st.sampled_from(["male", "fe", "female"])),
    st.builds(leaf, st.just("Figures.FigureClusterId"), COMPARISONS, PEOPLE),
    st.builds(leaf, st.sampled_from(["Figures.Age", "Figures.Gender"]), st.just("exist")),
)
CUSTOM_LABELS = [f"CustomLabels.{key}" for key in ("season", "SEASON", "ort", "x.Y", "none")]
LABEL_LEAVES = st.builds(leaf, st.just("Labels.LabelName"), OF_TEXT, TEXTS)
LEAVES = st.one_of(
    st.builds(leaf, st.sampled_from(TEXT_FIELDS + LIST_TEXTS), OF_TEXT, TEXTS),
    st.builds(leaf, st.sampled_from(NUMBER_FIELDS), COMPARISONS, NUMBER_TEXTS),
    st.builds(leaf, st.sampled_from(CUSTOM_LABELS), OF_TEXT, TEXTS),
    st.builds(leaf, st.sampled_from(CUSTOM_LABELS), st.just("exist")),
    st.builds(leaf, st.just("ProduceTime"), COMPARISONS, TIMES.map(datetime.isoformat)),
    st.builds(leaf, st.just("LatLong"), st.just("geo-distance"), POINTS.map(lambda p: f"{p[0]},{p[1]};20000")),
    st.builds(
        leaf, st.just("LatLong"), st.just("geo-bounding-box"), st.sampled_from(["31,120;30,120.15", "90,170;-90,-170"])
    ),
    FIGURE_LEAVES,
    EXISTENCE,
)


def combined(leaves: st.SearchStrategy[Document], levels: int) -> st.SearchStrategy[Document]:
    """Conditions up to some levels deep."""
    if levels == 0:
        return leaves
    below = combined(leaves, levels - 1)
    groups = st.builds(
        lambda operation, parts: group(operation, *parts),
        st.sampled_from(["and", "or", "not"]),
        st.lists(below, min_size=1, max_size=3),
    )
    return st.one_of(leaves, groups)


def nested(name: str, leaves: st.SearchStrategy[Document]) -> st.SearchStrategy[Document]:
    """Conditions on one element of a list."""
    parts = st.lists(combined(leaves, 2), min_size=1, max_size=2)
    return st.builds(lambda parts: group("nested", *parts, Field=name), parts)


CONDITIONS = combined(st.one_of(LEAVES, LEAVES, nested("Figures", FIGURE_LEAVES), nested("Labels", LABEL_LEAVES)), 2)


@pytest.mark.long
@settings(max_examples=examples(12), suppress_health_check=list(HealthCheck), phases=PHASES)
@given(library=libraries(), asked=st.lists(CONDITIONS, min_size=15, max_size=15))
def test_conditions_mean_what_the_oracle_says(empty_lake: Path, library: list[Document], asked: list[Document]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        maker = LakeMaker(Path(shutil.copytree(empty_lake, f"{folder}/lake")))
        documents = write(maker, library)
        for condition in asked:
            query = FileQuery(ADA, parse_query(json.dumps(condition)), with_total=True)
            page = query_files(maker.lake, query)
            expected = [document["URI"] for document in documents if fits(condition, document)]
            assert [row["uri"] for row in page.rows] == expected, condition
            assert page.total == len(expected)


@settings(max_examples=examples(5), suppress_health_check=list(HealthCheck), phases=PHASES)
@given(library=libraries())
def test_what_is_shown_and_summed_is_what_is_asked_about(empty_lake: Path, library: list[Document]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        maker = LakeMaker(Path(shutil.copytree(empty_lake, f"{folder}/lake")))
        documents = write(maker, library)
        shown = [file(row, "en") for row in query_files(maker.lake, FileQuery(ADA)).rows]
        for path in [
            "URI",
            "Filename",
            "Size",
            "FigureCount",
            "Figures.FigureClusterId",
            "Addresses.City",
            "Labels.LabelName",
        ]:
            parts = path.split(".")
            assert [sorted(values_of(one, parts)) for one in shown] == [
                sorted(values_of(one, parts)) for one in documents
            ]
        fields = ["Size", "Duration", "FigureCount", "Figures.Age", "Bitrate"]
        asked = [Aggregation(name, operation) for name in fields for operation in ("min", "max", "average", "sum")]  # type: ignore[arg-type]
        texts = ["Title", "Labels.LabelName", "Figures.Gender", "Album"]
        asked += [Aggregation(name, operation) for name in [*fields, *texts] for operation in ("count", "distinct")]  # type: ignore[arg-type]
        for found in aggregate_files(maker.lake, FileQuery(ADA), asked):
            path = found.aggregation.field.split(".")
            values = [value for one in documents for value in dict.fromkeys(values_of(one, path))]
            oracle: dict[str, Any] = {
                "count": len(values),
                "distinct": len(set(values)),
                "min": min(values, default=None),
                "max": max(values, default=None),
                "sum": sum(values) if values and found.aggregation.operation == "sum" else None,
                "average": math.fsum(values) / len(values)
                if values and found.aggregation.operation == "average"
                else None,
            }
            assert found.value == pytest.approx(oracle[found.aggregation.operation]), found.aggregation
        for found in aggregate_files(
            maker.lake, FileQuery(ADA), [Aggregation(name, "group") for name in [*texts, "Size"]], 2
        ):
            path = found.aggregation.field.split(".")
            values = [value for one in documents for value in dict.fromkeys(values_of(one, path))]
            counts = sorted(
                ((value, values.count(value)) for value in set(values)), key=lambda each: (-each[1], each[0])
            )
            assert list(found.groups) == counts[:2]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ([], "a condition is \\[\\]; an object with Operation is accepted"),
        ({"Field": "Size"}, "Operation '' is not one of eq, gt"),
        (leaf("Size", "It", "3"), "Operation 'it' is not one of eq, gt"),
        (leaf("Size", "between", "3"), "Operation 'between' is not one of eq"),
        (leaf("", "eq", "3"), "'eq' has no Field"),
        (leaf("Size", "eq"), "'eq' of field 'Size' has no Value"),
        (leaf("Size", "eq", "3 MB"), "'3 MB' is not a number, as field 'Size' is one"),
        (leaf("Size", "eq", "nan"), "'nan' is not a number"),
        (leaf("Size", "eq", "1e999"), "'1e999' is not a number"),
        (leaf("Size", "prefix", "3"), "'prefix' of field 'Size' is not one of eq, gt, gte, lt, lte, exist"),
        (leaf("Size", "geo-distance", "0,0;1"), "'geo-distance' of field 'Size'"),
        (leaf("URI", "geo-polygon", "0,0;1,1;2,0"), "'geo-polygon' of field 'URI'"),
        (leaf("ProduceTime", "gt", "yesterday"), "'yesterday' is not a time"),
        (leaf("Colour", "eq", "red"), "field 'Colour' is not one of a File"),
        (leaf("size", "eq", "3"), "field 'size' is not one of a File"),
        (leaf("Figures", "eq", "3"), "field 'Figures' has parts; name one of Figures.Age"),
        (leaf("CustomLabels", "eq", "3"), "'eq' of field 'CustomLabels' is not one of exist"),
        (leaf("Elements", "eq", "3"), "Elements.<name> is accepted"),
        (leaf("LatLong", "geo-distance", "30,120"), "lat,lon;metres is accepted"),
        (leaf("LatLong", "geo-distance", "91,120;5"), "'91,120' is not a point"),
        (leaf("LatLong", "geo-bounding-box", "30,120"), "lat,lon;lat,lon, the upper left"),
        (leaf("LatLong", "geo-bounding-box", "30,120;31,121"), "the first corner is the upper left one"),
        (leaf("LatLong", "geo-polygon", "30,120;31,121"), "has 2 points; 3 to 200 are accepted"),
        ({**leaf("Size", "eq", "3"), "Values": []}, "a condition has 'Values'"),
        ({**leaf("Size", "eq", "3"), "SubQueries": [leaf("Size", "exist")]}, "'eq' has SubQueries"),
        (leaf("Size", "eq", ["3"]), r'Value is \["3"\]; a text is accepted'),  # type: ignore[arg-type]
        ({**group("and"), "Field": "x"}, "'and' has the Field 'x'"),
        (group("not"), "'not' has no SubQueries"),
        (group("or", "x"), 'a condition is "x"'),  # type: ignore[arg-type]
        (group("nested"), "'nested' has no SubQueries"),
        (group("nested", leaf("Size", "exist")), "nested is about ''"),
        (group("nested", leaf("Labels.LabelName", "exist"), Field="Faces"), "nested is about 'Faces'"),
        (
            group("nested", leaf("Labels.LabelName", "exist"), leaf("Figures.Age", "exist")),
            "'Figures.Age' is not a part of Labels",
        ),
        (group("nested", group("nested", leaf("Figures.Age", "exist"))), "nested is within nested"),
    ],
)
def test_what_is_wrong_is_named(asked: Any, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        read_query(asked)


def test_texts_that_are_not_json_are_refused() -> None:
    for text in ("{", "[" * 100_000, "nan?"):
        with pytest.raises(UsageError, match="the query is not JSON"):
            parse_query(text)


def test_conditions_and_levels_are_limited() -> None:
    one = leaf("Size", "exist")
    read_query(group("or", *[one] * 100))
    with pytest.raises(LimitExceeded, match="101 conditions; up to 100"):
        read_query(group("or", *[one] * 101))
    deep = one
    for _ in range(5):
        deep = group("not", deep)
    read_query(deep)
    with pytest.raises(LimitExceeded, match="more than 5 levels"):
        read_query(group("not", deep))
    polygon = ";".join(f"{corner / 10},{corner % 7}" for corner in range(201))
    with pytest.raises(LimitExceeded, match="201 points"):
        read_query(leaf("LatLong", "geo-polygon", polygon))


def test_an_empty_query_is_all_files() -> None:
    assert read_query({}) is None
    assert read_query({"SubQueries": []}) is None
    assert conditions(None) is None


def ask(maker: LakeMaker, condition: Document) -> list[str]:
    """The URIs of the files that satisfy a condition."""
    return [row["uri"] for row in query_files(maker.lake, FileQuery(ADA, read_query(condition))).rows]


def test_a_hundred_conditions_run(maker: LakeMaker) -> None:
    maker.insert("files", [maker.file("a.jpg", size=7, labels=["x"]), maker.file("b.jpg", size=200)])
    parts = [leaf("Size", "eq", str(number)) for number in range(94)] + [
        leaf("Labels.LabelName", "eq", str(n)) for n in range(6)
    ]
    assert ask(maker, group("or", *parts)) == ["a.jpg"]
    assert ask(maker, group("not", *parts)) == ["b.jpg"]


def test_elements_of_lists_count_one_by_one_only_when_nested(maker: LakeMaker) -> None:
    maker.insert("files", [maker.file("a.jpg"), maker.file("b.jpg")])
    ages = [("a", "a.jpg", 30, "male"), ("b", "a.jpg", 5, "female"), ("c", "b.jpg", 5, "male")]
    maker.insert("figures", [maker.figure(name, uri=uri, age=age, gender=sex) for name, uri, age, sex in ages])
    boy = (leaf("Figures.Age", "lt", "10"), leaf("Figures.Gender", "eq", "male"))
    assert ask(maker, group("and", *boy)) == ["a.jpg", "b.jpg"]
    assert ask(maker, group("nested", group("and", *boy))) == ["b.jpg"]
    assert ask(maker, group("nested", group("not", *boy), Field="Figures")) == []
    assert ask(maker, group("not", group("nested", *boy))) == ["a.jpg"]


def test_a_list_exists_where_it_has_an_element(maker: LakeMaker) -> None:
    labels = {"a.jpg": ["x"], "b.jpg": [], "c.jpg": None}
    maker.insert("files", [maker.file(uri, labels=listed) for uri, listed in labels.items()])
    maker.insert("figures", [maker.figure("f", uri="b.jpg")])
    maker.insert("file_places", [maker.file_place("c.jpg", country=None, city="Ulm")])
    for name, uri in {"Labels": "a.jpg", "Figures": "b.jpg", "Addresses": "c.jpg"}.items():
        assert ask(maker, leaf(name, "exist")) == [uri]
        assert ask(maker, group("not", leaf(name, "exist"))) == sorted(labels.keys() - {uri})


def test_a_polygon_and_points(maker: LakeMaker) -> None:
    points = {"in.jpg": (34, 119), "dent.jpg": (34.9, 119), "out.jpg": (36, 119), "nowhere.jpg": (None, None)}
    maker.insert("files", [maker.file(uri, latitude=lat, longitude=lon) for uri, (lat, lon) in points.items()])
    assert ask(maker, leaf("LatLong", "geo-polygon", "33,118;33,120;35,120;34.5,119;35,118")) == ["in.jpg"]
    assert ask(maker, leaf("LatLong", "geo-polygon", "33, 118;33, 120;35, 120;35, 118")) == ["dent.jpg", "in.jpg"]
    assert ask(maker, leaf("LatLong", "eq", "36,119.0")) == ["out.jpg"]
    assert ask(maker, group("not", leaf("LatLong", "geo-distance", "34,119;1000"))) == [
        "dent.jpg",
        "nowhere.jpg",
        "out.jpg",
    ]


def test_a_day_is_a_day_in_utc(maker: LakeMaker) -> None:
    times = {"a.jpg": START - timedelta(microseconds=1), "b.jpg": START, "c.jpg": START + timedelta(days=1)}
    maker.insert("files", [maker.file(uri, produce_time=time) for uri, time in times.items()])
    expected = {"eq": ["b.jpg"], "gt": ["c.jpg"], "gte": ["b.jpg", "c.jpg"], "lt": ["a.jpg"], "lte": ["a.jpg", "b.jpg"]}
    for operation, uris in expected.items():
        assert ask(maker, leaf("ProduceTime", operation, "2026-03-04")) == uris, operation
    assert ask(maker, leaf("ProduceTime", "eq", "2026-03-04T08:00:00+08:00")) == ["b.jpg"]


def test_a_float_of_32_bits_is_equal_to_the_number_it_was_written_as(maker: LakeMaker) -> None:
    maker.insert("files", [maker.file("a.jpg")])
    maker.insert("figures", [maker.figure("f", uri="a.jpg", face_quality=0.8)])
    assert ask(maker, leaf("Figures.FaceQuality", "eq", "0.8")) == ["a.jpg"]
    assert ask(maker, leaf("Figures.FaceQuality", "gt", "0.8")) == []


def test_a_phrase_without_words_is_in_every_text_that_is_there(maker: LakeMaker) -> None:
    maker.insert("files", [maker.file("a.jpg", title=""), maker.file("b.jpg", title=None)])
    for phrase in ("", " - "):
        assert ask(maker, leaf("Title", "match-phrase", phrase)) == ["a.jpg"]


def test_similar_images_are_found_by_their_cluster(maker: LakeMaker) -> None:
    maker.group(1, ["a.jpg", "b.jpg"])
    maker.insert("files", [maker.file(f"{name}.jpg") for name in "abc"])
    assert ask(maker, leaf("SimilarImageClusterId", "eq", group_id(1))) == ["a.jpg", "b.jpg"]
    assert ask(maker, group("not", leaf("SimilarImageClusterId", "exist"))) == ["c.jpg"]


def test_datasets_do_not_see_each_other(maker: LakeMaker) -> None:
    maker.insert("files", [maker.file("a.jpg", labels=["x"]), maker.file("a.jpg", dataset="ben")])
    maker.insert("figures", [maker.figure("f", uri="a.jpg", dataset="ben", age=3)])
    for condition, dataset in ((leaf("Figures.Age", "eq", "3"), "ben"), (leaf("Labels.LabelName", "eq", "x"), "ada")):
        rows = query_files(maker.lake, FileQuery(maker.scope, read_query(condition))).rows
        assert [(row["dataset_name"], row["uri"]) for row in rows] == [(dataset, "a.jpg")]
    assert ask(maker, leaf("Figures.Age", "eq", "3")) == []
