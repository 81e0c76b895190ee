"""A small lake with something of everything that people decide: what the views and the catalog must show alike."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from catalog.lake import Row
from tests.catalog.conftest import NOON, LakeMaker, cluster_id, edit, group_id, look, person_id

HANGZHOU = "CN/33/3301//"


def fill(maker: LakeMaker) -> None:
    """Trips, similar images, people and files of ada, with edits of each; ben has a trip of his own."""
    _trips(maker)
    _images(maker)
    _people(maker)
    _files(maker)
    _runs(maker)


def _trips(maker: LakeMaker) -> None:
    """1 is as computed, 2 took over 3, 4 and 9 (deleted), 5 is deleted, 6 was, 7 cleared its title and took over 8."""
    of_ben = maker.cluster(10, "ben", title="Jiaxing", city="Jiaxing", place_key="CN/33/3304", files=900)
    country = maker.cluster(11, level="country", place_key="CN", title="China", files=60, province=None, city=None)
    maker.insert(
        "location_date_clusters", [*(maker.cluster(n, files=10 + n) for n in (1, 2, 5, 6, 7)), country, of_ben]
    )
    gone = {3: 2, 4: 3, 8: 7, 9: 2}
    segments = [maker.segment(n, state="gone", successor_id=cluster_id(after)) for n, after in gone.items()]
    maker.insert("location_date_segments", [*segments, *(maker.segment(n) for n in (1, 2, 5, 6, 7))])
    edits = [
        ("4", 4, {"title": "Spring", "custom_id": "four", "custom_labels": {"with": "Ben's"}}),
        ("3", 3, {"custom_id": "three", "cover_uri": "s3://ada/3.jpg"}),
        ("9", 9, {"title": "Not this one"}),
        ("9", 9, {"action": "delete"}),
        ("5", 5, {"action": "delete"}),
        ("6", 6, {"action": "delete"}),
        ("6", 6, {"action": "undelete", "edit_time": NOON - timedelta(days=3)}),
        ("8", 8, {"title": "Lake", "custom_labels": {"a": "b", "c": "d"}}),
        ("7", 7, {"title": "", "custom_labels": {"a": "1"}}),
        ("7", 7, {"custom_labels": {}}),
        ("2", 2, {"custom_labels": {}, "cover_uri": ""}),
        ("2", 2, {"cover_uri": "s3://ada/2.jpg"}),
    ]
    rows = [edit(n, cluster_id(of), **given) for n, (_, of, given) in enumerate(edits, start=1)]
    maker.insert("cluster_edits", rows)
    places = [
        maker.file_place("a.jpg", place_key=HANGZHOU, local_date=date(2026, 3, 4)),
        maker.file_place("b.jpg", place_key=HANGZHOU, local_date=date(2026, 3, 7)),
        maker.file_place("late.jpg", place_key=HANGZHOU, local_date=date(2026, 3, 8)),
        maker.file_place("beside.jpg", place_key="CN/33/33011//", local_date=date(2026, 3, 5)),
        maker.file_place("town.jpg", place_key="CN/33/3301/330106/x", local_date=date(2026, 3, 5)),
        maker.file_place("undated.jpg", place_key=HANGZHOU, local_date=None),
        maker.file_place("removed.jpg", place_key=HANGZHOU, local_date=date(2026, 3, 5), deleted_time=NOON),
        maker.file_place("b.jpg", "ben", place_key="CN/33/3304//", local_date=date(2026, 3, 5)),
    ]
    maker.insert("file_places", places)
    event = {
        **{name: places[0][name] for name in ("bucket", "project_name", "dataset_name", "run_id")},
        "kind": "location-date",
        "object_id": cluster_id(1),
        "reason": "new days",
        "first_day": date(2026, 3, 4),
        "last_day": date(2026, 3, 7),
        "cluster_version": 1,
        "event_time": NOON,
    }
    maker.insert("cluster_events", [{**event, "event": "created"}])


def _images(maker: LakeMaker) -> None:
    """1 is as computed, 2 has kept and parted pictures, 3 is emptied, 4 has a cover of its own, 5 went into 4."""
    for number in (1, 2, 3, 4):
        maker.group(number)
    maker.insert("similar_image_clusters", [maker.similar_cluster(5, state="gone", successor_id=group_id(4))])
    maker.insert("similar_image_members", maker.members(6, ["6/shot.jpg", "6/shot.raw"], kind="shot"))
    maker.insert("similar_image_clusters", [maker.similar_cluster(6, ["6/shot.jpg", "6/shot.raw"], kind="shots")])

    def mark(sequence: int, group: int, action: str, name: str, beside: str = "") -> Row:
        uri = f"oss://b/{group}/{name}.jpg"
        apart = [look(f"oss://b/{group}/{other}.jpg") for other in beside] or None
        of = {"kind": "similar-images", "uri": uri, "fingerprints": apart}
        return edit(sequence, group_id(group), action, **of)

    maker.insert(
        "cluster_edits",
        [
            mark(21, 2, "keep", "c"),
            mark(22, 2, "keep", "b"),
            mark(23, 2, "unkeep", "b"),
            mark(24, 2, "part", "a", "bc"),
            mark(25, 3, "part", "a", "bc"),
            mark(26, 3, "part", "b", "c"),
            mark(27, 1, "part", "a", "bc"),
            mark(28, 1, "rejoin", "a"),
            edit(29, group_id(4), kind="similar-images", cover_uri="oss://b/4/b.jpg"),
            edit(30, group_id(5), kind="similar-images", title="Twins"),
            edit(31, group_id(1), kind="similar-images", cover_uri="oss://b/4/b.jpg"),
            edit(32, group_id(6), "delete", kind="similar-images"),
        ],
    )
    names = [f"oss://b/{group}/{name}.jpg" for group in (1, 2, 3, 4) for name in "abc"]
    maker.insert("files", [maker.file(name, size=1000 + n) for n, name in enumerate(names)])


def _people(maker: LakeMaker) -> None:
    """1 is named, with a cover of her own, 2 is nobody's known, 3 went into 2, 4 is ignored."""
    for number in (1, 2, 4):
        maker.person(number)
    maker.faces(None, {"stranger": None}, role=None)
    gone = {"state": "gone", "object_id": person_id(3), "successor_id": person_id(2), "anchor": "3-a"}
    rows = [dict(row) for row in maker.lake.read("SELECT * FROM figure_clusters", "figure_clusters")]
    maker.insert("figure_clusters", [{**rows[0], **gone}])
    of_people = {"kind": "figures"}
    maker.insert(
        "cluster_edits",
        [
            edit(41, person_id(1), title="Ada", cover_figure_id="1-b", **of_people),
            edit(42, person_id(3), title="Ben", cover_figure_id="3-a", **of_people),
            edit(43, person_id(4), "delete", **of_people),
        ],
    )


def _files(maker: LakeMaker) -> None:
    """Files whose custom id, labels, time or place people gave, took back, or callers noted; one is being removed."""
    names = ("a", "b", "late", "beside", "town", "undated", "cleared", "noted", "going", "back")
    rows = [maker.file(f"{name}.jpg", custom_id="source", custom_labels={"by": "source"}) for name in names]
    removed = maker.file("removed.jpg", deleted_time=NOON)
    maker.insert("files", [*rows, removed, maker.file("b.jpg", "ben")])
    ids = {row["uri"].removesuffix(".jpg"): row["object_id"] for row in rows}

    def said(sequence: int, name: str, *, back: tuple[str, ...] = (), **given: object) -> Row:
        return {
            "sequence": sequence,
            "project_name": "demo",
            "dataset_name": "ada",
            "object_id": ids[name],
            "uri": f"{name}.jpg",
            "taken_back": list(back),
            "edit_time": NOON + timedelta(hours=sequence),
            **given,
        }

    time = {"produce_time": datetime(1999, 1, 1, tzinfo=UTC), "time_is": "local", "utc_offset": None}
    maker.insert(
        "file_edits",
        [
            said(1, "a", custom_id="mine", custom_labels={"season": "Spring"}, **time),
            said(2, "b", latitude=48.8, longitude=2.3),
            said(3, "late", address={"country": "France", "city": "Paris"}),
            said(4, "cleared", custom_id="", custom_labels={}),
            said(5, "back", custom_id="mine", latitude=1.0, longitude=2.0, **time),
            said(6, "back", back=("time", "custom_id")),
        ],
    )
    maker.insert(
        "file_notes",
        [
            maker.file_edit("noted.jpg", custom_id="noted", custom_labels={"by": "caller"}, album="Best"),
            maker.file_edit("a.jpg", album="Best"),
            maker.file_edit("going.jpg", removed_time=NOON),
            maker.file_edit("b.jpg", removed_time=NOON - timedelta(days=1)),
        ],
    )


def _runs(maker: LakeMaker) -> None:
    run = {"job": "cluster-location-dates", "parameters": '{"gap_days": 1}', "config_hash": "0", "code_version": "0"}
    times = {"start_time": NOON, "end_time": NOON, "status": "Succeeded"}
    maker.insert("runs", [{"run_id": "run-1", "task_id": "task-1", "project_name": "demo", **run, **times}])
