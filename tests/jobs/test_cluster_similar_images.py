"""Similar images through the jobs' own functions: pairs, groups, kinds, ids, edits, removals, any split."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import jobs.similar_images.groups
from catalog.edits import append_edit
from catalog.lake import Lake
from jobs.cli.options import build_config
from jobs.cluster_similar_images import ClusterSimilarImages
from jobs.runtime.commits import InjectedFailure
from jobs.runtime.runs import Run
from schemas.errors import UsageError
from tests.jobs.albums import WAYS, WAYS_SLOW, Album, Row

pytestmark = pytest.mark.long

SHARP = random.Random(7)
LOOKS = {name: SHARP.getrandbits(256) for name in "abcdefgh"}


@pytest.fixture
def album(tmp_path: Path, way: Row) -> Album:
    """An empty lake."""
    return Album(tmp_path, way)


def hash_of(look: str, flipped: range = range(0)) -> str:
    """64 hex digits: a look's hash with some bits flipped."""
    bits = LOOKS[look]
    for bit in flipped:
        bits ^= 1 << bit
    return f"{bits:064x}"


def picture(name: str, look: str, flipped: range = range(0), *, dataset: str = "ada", **more: object) -> Row:
    """A picture of a look."""
    row: Row = {
        "dataset_name": dataset,
        "uri": f"s3://{dataset}/{name}.jpg",
        "media_type": "image",
        "perceptual_hash": hash_of(look, flipped),
        "perceptual_hash_quality": 100,
        "image_score": 0.5,
    }
    return row | more


def groups(album: Album, dataset: str = "ada") -> set[frozenset[str]]:
    """The names of the pictures of each cluster."""
    found: dict[str, set[str]] = {}
    for row in album.rows("similar_image_members"):
        if row["dataset_name"] == dataset:
            found.setdefault(row["object_id"], set()).add(Path(row["uri"]).stem)
    return {frozenset(names) for names in found.values()}


def live(album: Album) -> list[Row]:
    """The clusters that are."""
    return [row for row in album.rows("similar_image_clusters", "object_id") if row["state"] == "live"]


def id_of(album: Album, name: str) -> str:
    """The cluster that a picture is in."""
    (row,) = (row for row in album.rows("similar_image_members") if Path(row["uri"]).stem == name)
    return str(row["object_id"])


BOUNDS = [
    picture("a", "a"),
    picture("a31", "a", range(31)),
    picture("b", "b"),
    picture("b32", "b", range(32)),  # too far
    picture("a-of-bob", "a", dataset="bob"),  # never across datasets
    picture("alone", "c"),
    picture("c-blank", "c", perceptual_hash_quality=49),  # says nothing
    picture("same1", "d"),
    picture("same2", "d"),
    picture("chain1", "e"),
    picture("chain2", "e", range(20)),
    picture("chain3", "e", range(40)),  # like chain2, unlike chain1
    picture("chain4", "e", range(60)),
    picture("chain5", "e", range(80)),
    picture("video", "a", media_type="video"),
    picture("blank1", "f", perceptual_hash_quality=0, content_hash="0" * 64),
    picture("blank2", "g", perceptual_hash_quality=0, content_hash="0" * 64),
    picture("blank3", "f", perceptual_hash_quality=0, content_hash="1" * 64),
]


def kinds_of_kim() -> list[Row]:
    """Copies, bursts and near-duplicates."""
    camera = {"camera_make": "Fuji", "camera_model": "X100"}

    def taken(name: str, flipped: int, second: str, **more: object) -> Row:
        return picture(
            name, "a", range(flipped), dataset="kim", produce_time=f"2026-03-04T12:00:{second}+08:00", **camera | more
        )

    return [
        taken("first", 0, "00.40", image_score=0.7, content_hash="1" * 64),
        taken("copy", 0, "00.40", image_score=0.7, content_hash="1" * 64),
        taken("edit", 3, "00", image_score=0.2),  # lost the fraction: no burst of its original
        taken("next", 5, "01.10", image_score=0.9),
        taken("late", 7, "09.00"),
        picture("edited", "b", dataset="kim", produce_time="2026-03-04T12:00:00Z"),
        # of no known device
        picture("edited-again", "b", range(2), dataset="kim", produce_time="2026-03-04T12:00:02Z"),
        taken("unscored", 0, "30", perceptual_hash=hash_of("c"), image_score=None, image_width=4000, image_height=3000),
        taken("scored", 0, "31", perceptual_hash=hash_of("c", range(1)), image_score=0.4),
    ]


def shuffled() -> list[Row]:
    """Pictures of four looks at many distances, in no order."""
    rng = random.Random(3)
    rows = []
    for number in range(60):
        look = rng.choice("abcd")
        start = rng.randrange(0, 120, 10)
        rows.append(picture(f"p{number:02d}", look, range(start, start + rng.choice([0, 12, 25, 40])), dataset="split"))
    rng.shuffle(rows)
    return rows


IDA = [
    picture("a1", "a", dataset="ida"),
    picture("a2", "a", range(4), dataset="ida"),
    picture("b1", "b", dataset="ida"),
    picture("b2", "b", range(4), dataset="ida"),
]


@pytest.fixture(scope="module", autouse=True)
def _grouped_in_part() -> Iterator[None]:
    """A changed dataset is grouped in part, as large ones are; the other tests' are grouped whole."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs.similar_images.groups, "GROUPED_WHOLE", 0)
        yield


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory, way: Row) -> tuple[Album, Run]:
    """A lake after its first clustering: ada's pictures about bounds, kim's about kinds, cal's all alike, ida's to
    change, and the same pictures in one batch and in the first of two."""
    album = Album(tmp_path_factory.mktemp("first"), way)
    blank = {"perceptual_hash_quality": 0, "content_hash": "0" * 64}
    blanks = [picture(f"blank{n}", "a", dataset="cal", **blank) for n in range(3000)]
    album.deliver([*BOUNDS, *kinds_of_kim(), *IDA, *shuffled()[:35], *blanks])
    batch = sorted(shuffled(), key=lambda row: str(row["uri"]))
    again = [row | {"dataset_name": "batch", "uri": row["uri"].replace("split", "batch")} for row in batch]
    album.deliver([*again, *(picture(f"same{n}", "b", dataset="cal") for n in range(3000))])
    return album, album.cluster_similar_images()


@pytest.fixture(scope="module")
def second_run(first_run: tuple[Album, Run], tmp_path_factory: pytest.TempPathFactory) -> Album:
    """The lake after another delivery: of ida's, and of the second batch of two, which overlap."""
    root = tmp_path_factory.mktemp("second")
    shutil.copytree(first_run[0].root, root, dirs_exist_ok=True)
    album = Album(root, first_run[0].way)
    album.deliver([picture("a3", "a", range(8), dataset="ida"), *shuffled()[30:]])
    album.cluster_similar_images()
    return album


@WAYS
def test_pairs_groups_and_their_bounds(first_run: tuple[Album, Run]) -> None:
    album, run = first_run
    assert groups(album) == {
        frozenset({"a", "a31"}),
        frozenset({"same1", "same2"}),
        frozenset({"chain2", "chain3", "chain4"}),  # 3 represents; 1 and 5 are too far from it
        frozenset({"blank1", "blank2"}),
    }
    assert groups(album, "bob") == set()
    ours = [row for row in album.rows("similar_image_pairs") if row["dataset_name"] == "ada"]
    pairs = {(row["distance"], row["signal"]) for row in ours}
    assert pairs == {(31, "hash"), (20, "hash")}
    clusters = [row for row in live(album) if row["dataset_name"] == "ada"]
    assert len(clusters) == 4
    assert all(row["object_id"].startswith("SimilarImageCluster-") for row in clusters)
    assert all(row["files"] >= 2 for row in clusters)
    assert {row["kind"] for row in clusters} == {"copies", "near-duplicates"}
    assert run.task_id.startswith("SimilarImageClustering-")


@WAYS
def test_identical_pictures_do_not_explode(first_run: tuple[Album, Run]) -> None:
    album, _ = first_run
    assert sorted(row["files"] for row in live(album) if row["dataset_name"] == "cal") == [3000, 3000]
    assert not [row for row in album.rows("similar_image_pairs") if row["dataset_name"] == "cal"]


@WAYS_SLOW
def test_a_dataset_is_clustered_again_for_other_options(first_run: tuple[Album, Run], tmp_path: Path) -> None:
    shutil.copytree(first_run[0].root, tmp_path, dirs_exist_ok=True)
    album = Album(tmp_path, first_run[0].way)
    versions = album.versions()
    album.cluster_similar_images()
    assert album.versions() == versions
    album.cluster_similar_images(max_distance=19, dataset=("ada",))
    assert groups(album) == {frozenset({"same1", "same2"}), frozenset({"blank1", "blank2"})}
    events = album.events()
    old = {object_id for event, object_id in events if event == "created"}
    album.cluster_similar_images()
    assert {row["object_id"] for row in live(album)} == old
    assert [event for event, _ in album.events()[len(events) :]] == ["revived"] * 2


@WAYS
def test_any_split_and_order_gives_the_groups_of_one_batch(second_run: Album) -> None:
    album = second_run
    assert groups(album, "split") == groups(album, "batch")
    assert len(groups(album, "batch")) > 3

    def of(dataset: str, table: str, *columns: str) -> list[tuple[object, ...]]:
        rows = (row | {"uri": Path(row.get("uri", "")).name} for row in album.rows(table))
        return sorted(tuple(row[name] for name in columns) for row in rows if row["dataset_name"] == dataset)

    pairs = ("similar_image_pairs", "fingerprint", "other_fingerprint", "signal", "distance", "similarity")
    assert of("split", *pairs) == of("batch", *pairs)
    members = ("similar_image_members", "uri", "fingerprint", "kind", "similarity", "image_score", "rank")
    assert of("split", *members) == of("batch", *members)


@WAYS_SLOW
def test_ids_are_stable_and_events_tell_what_happened(
    first_run: tuple[Album, Run], second_run: Album, tmp_path: Path
) -> None:
    a, b = id_of(first_run[0], "a1"), id_of(first_run[0], "b1")
    shutil.copytree(second_run.root, tmp_path, dirs_exist_ok=True)
    album = Album(tmp_path, first_run[0].way)
    assert id_of(album, "a3") == a
    album.remove("s3://ida/b1.jpg", "s3://ida/a3.jpg", dataset="ida")  # at once, without a clustering
    assert groups(album, "ida") == {frozenset({"a1", "a2"})}
    assert [row["object_id"] for row in live(album) if row["dataset_name"] == "ida"] == [a]
    ida = {"dataset": "ida"}
    # a1 is another picture now
    album.deliver([picture("b3", "b", range(2), **ida), picture("a1", "c", **ida), picture("c2", "c", **ida)])
    album.cluster_similar_images()
    assert groups(album, "ida") == {frozenset({"b2", "b3"}), frozenset({"a1", "c2"})}
    assert id_of(album, "b2") == b  # what went is known again
    assert id_of(album, "a1") == a  # it has one of a's files
    happened = album.events("ida")
    assert happened[:3] == [*(("created", object_id) for object_id in sorted((a, b))), ("extended", a)]
    assert sorted(happened[3:]) == sorted([("removed", b), ("shrunk", a), ("revived", b)])


@WAYS
def test_kinds_scores_and_the_best_picture(first_run: tuple[Album, Run]) -> None:
    album, _ = first_run
    members = {
        Path(row["uri"]).stem: row for row in album.rows("similar_image_members") if row["dataset_name"] == "kim"
    }
    assert {name: (row["kind"], row["rank"]) for name, row in members.items()} == {
        "next": ("burst", 1),
        "copy": ("burst", 2),
        "first": ("copy", 3),
        "late": ("near-duplicate", 4),
        "edit": ("near-duplicate", 5),
        "edited": ("near-duplicate", 2),
        "edited-again": ("near-duplicate", 1),
        "unscored": ("burst", 1),
        "scored": ("burst", 2),
    }
    assert members["unscored"]["image_score"] == 1.0
    clusters = [row for row in live(album) if row["dataset_name"] == "kim"]
    kinds = {Path(row["cover_uri"]).stem: row["kind"] for row in clusters}
    assert kinds == {"next": "near-duplicates", "edited-again": "near-duplicates", "unscored": "burst"}


@WAYS_SLOW
def test_people_part_pictures_and_later_runs_obey(album: Album) -> None:
    album.deliver([picture(f"a{n}", "a", range(n)) for n in range(4)])
    album.cluster_similar_images()
    lake, (cluster,) = Lake(album.lake), live(album)
    others = [hash_of("a", range(n)) for n in (0, 1, 3)]
    append_edit(lake, "similar-images", cluster, "part", uri="s3://ada/a2.jpg", fingerprints=others)
    album.cluster_similar_images()
    assert groups(album) == {frozenset({"a0", "a1", "a3"})}
    album.deliver([picture("a4", "a", range(4)), picture("a2-copy", "a", range(2))])
    album.cluster_similar_images(full=True)
    # a2's copy was parted from no one; a2 may join what it was not parted from, but no group about one of the others
    (big,) = (names for names in groups(album) if "a0" in names)
    assert "a2" not in big
    append_edit(lake, "similar-images", cluster, "rejoin", uri="s3://ada/a2.jpg")
    album.cluster_similar_images()
    assert groups(album) == {frozenset({"a0", "a1", "a2", "a3", "a4", "a2-copy"})}


@WAYS_SLOW
def test_a_failure_after_every_commit_is_repaired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: Row) -> None:
    first = [picture("a1", "a"), picture("a2", "a", range(20)), picture("b1", "b"), picture("b2", "b")]
    second = [picture("a3", "a", range(10, 30)), picture("a4", "a", range(40)), picture("b1", "c"), picture("c1", "c")]
    tables = ("similar_image_pairs", "similar_image_clusters", "similar_image_members", "cluster_events")
    states = []
    begun = Album(tmp_path / "begun", way)
    begun.root.mkdir()
    begun.deliver(first)
    begun.cluster_similar_images()
    begun.deliver(second)
    for points in ([], [f"after:{table}" for table in tables]):
        album = Album(tmp_path / str(len(points)), way)
        shutil.copytree(begun.root, album.root)
        for point in points:
            monkeypatch.setenv("LAKEALBUM_FAIL_AT", point)
            with pytest.raises(InjectedFailure):
                album.cluster_similar_images()
        monkeypatch.delenv("LAKEALBUM_FAIL_AT", raising=False)
        album.cluster_similar_images()
        ids = sorted((r["object_id"], r["state"], r["kind"], r["files"]) for r in album.rows("similar_image_clusters"))
        members = sorted((r["uri"], r["object_id"], r["rank"]) for r in album.rows("similar_image_members"))
        states.append((ids, members, sorted(album.events())))
    assert states[0] == states[1]


@pytest.mark.parametrize(
    ("option", "message"), [({"max_distance": 32}, "max_distance"), ({"min_similarity": 0.5}, "min_similarity")]
)
def test_options_out_of_range_are_refused(option: dict[str, object], message: str) -> None:
    given = dict.fromkeys(("lake", "project", "dataset", "config", "run_id", "dry_run", "user_data", "notify"))
    with pytest.raises(UsageError, match=message):
        build_config(ClusterSimilarImages, {**given, "lake": "x", "set": (), "tag": ()}, option)
