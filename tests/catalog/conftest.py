"""Small lakes, made from the contracts with delta-rs alone."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid5

import pytest
from deltalake import DeltaTable, write_deltalake

from catalog.commits import append, to_arrow
from catalog.lake import Lake, Row, Scope
from schemas.lake import CLUSTER_NAMESPACE, TABLES, bucket_of, file_object_id
from schemas.settings import LakeSettings
from tests.lakes import new_lake

DAY = timedelta(days=1)
NOON = datetime(2025, 11, 20, 12, tzinfo=UTC)
RUN = "run-1"


class LakeMaker:
    """Writes rows of computed tables, as jobs would; what is not given has a plain default."""

    def __init__(self, root: Path, project: str = "demo") -> None:
        self.root = str(root)
        self.project = project
        new_lake(self.root, LakeSettings())
        self.lake = Lake(self.root)
        self.scope = Scope(project)

    def insert(self, table: str, rows: list[Row]) -> None:
        """Appends rows to any table."""
        append(self.root, TABLES[table], rows)

    def remove(self, table: str, condition: str) -> None:
        """Deletes the rows that satisfy a condition, as a run would."""
        DeltaTable(f"{self.root}/{table}").delete(condition)

    def rewrite(self, table: str, rows: list[Row]) -> None:
        """Leaves a table with these rows alone."""
        write_deltalake(f"{self.root}/{table}", to_arrow(TABLES[table], rows), mode="overwrite")

    def datasets(self, *names: str) -> None:
        """Registers datasets."""
        times = {"create_time": NOON, "update_time": NOON}
        self.insert("datasets", [{**self._key(name, bucket=False), **times} for name in names])

    def cluster(self, number: int, dataset: str = "ada", **given: Any) -> Row:
        """A row of `location_date_clusters`: cluster `number`, from first_day on for `days` days in Hangzhou."""
        first: date = given.pop("first_day", date(2026, 3, 4))
        days: int = given.pop("days", 4)
        offset: int = given.pop("offset", 480)
        start = datetime(first.year, first.month, first.day, tzinfo=UTC) - timedelta(minutes=offset)
        return {
            **self._key(dataset),
            "object_id": cluster_id(number),
            "level": "city",
            "place_key": "CN/33/3301",
            "title": "Hangzhou",
            "country": "China",
            "province": "Zhejiang",
            "city": "Hangzhou",
            "first_day": first,
            "last_day": first + (days - 1) * DAY,
            "start_time": start,
            "start_offset": offset,
            "end_time": start + days * DAY - timedelta(microseconds=1),
            "end_offset": offset,
            "days": days,
            "days_with_files": days,
            "files": 10 * days,
            "images": 9 * days,
            "videos": days,
            "cover_uri": f"oss://b/{number}.jpg",
            "create_time": NOON,
            "update_time": NOON,
            "run_id": RUN,
            **given,
        }

    def segment(self, number: int, dataset: str = "ada", **given: Any) -> Row:
        """A row of `location_date_segments`: that of the cluster of the same number."""
        cluster = self.cluster(number, dataset)
        same = set(TABLES["location_date_segments"].names) & cluster.keys()
        moment = {"time": NOON, "utc_offset": 480}
        return {
            **{name: cluster[name] for name in same},
            "generation": number,
            "state": "live",
            "is_cluster": given.get("state", "live") == "live",
            "first": moment,
            "last": moment,
            "cover": {"rank": 0, "time": NOON, "uri": "oss://b/a.jpg"},
            **given,
        }

    def file_place(self, uri: str, dataset: str = "ada", **given: Any) -> Row:
        """A row of `file_places`: a picture taken in Hangzhou on 4 March 2026."""
        return {
            **self._key(dataset),
            "uri": uri,
            "media_type": "image",
            "produce_time": datetime(2026, 3, 4, 2, tzinfo=UTC),
            "utc_offset": 480,
            "time_zone": "Asia/Shanghai",
            "local_date": date(2026, 3, 4),
            "country": "China",
            "city": "Hangzhou",
            "place_key": "CN/33/3301/x/",
            "address_method": "supplied",
            "location_source": "file",
            "index_version": "1",
            "cover_rank": 0,
            "run_id": RUN,
            **given,
        }

    def file(self, uri: str, dataset: str = "ada", **given: Any) -> Row:
        """A row of `files`: a picture."""
        return {
            **self._key(dataset),
            "uri": uri,
            "object_id": file_object_id(self.project, dataset, uri),
            "media_type": "image",
            "produce_time": datetime(2026, 3, 4, 2, tzinfo=UTC),
            "time_is": "offset",
            "utc_offset": 480,
            "source": "s",
            "create_time": NOON,
            "update_time": NOON,
            "run_id": RUN,
            **given,
        }

    def file_edit(self, uri: str, dataset: str = "ada", **given: Any) -> Row:
        """A row of `file_notes`."""
        return {**self._key(dataset, bucket=False), "uri": uri, "update_time": NOON, **given}

    def similar_cluster(self, number: int, uris: Sequence[str] = (), dataset: str = "ada", **given: Any) -> Row:
        """A row of `similar_image_clusters`: group `number`, of pictures from the best on (`<number>/a.jpg`, ...)."""
        uris = uris or group_uris(number)
        return {
            **self._key(dataset),
            "object_id": group_id(number),
            "state": "live",
            "kind": "near-duplicates",
            "files": len(uris),
            "cover_uri": uris[0],
            "representative": look(uris[0]),
            "first_time": NOON,
            "last_time": NOON,
            "generation": 1,
            "anchor": look(uris[0]),
            "create_time": NOON,
            "update_time": NOON,
            "run_id": RUN,
            **given,
        }

    def members(self, number: int, uris: Sequence[str] = (), dataset: str = "ada", **given: Any) -> list[Row]:
        """Rows of `similar_image_members`: the pictures of group `number`, from the best on."""
        return [
            {
                **self._key(dataset),
                "uri": uri,
                "object_id": group_id(number),
                "fingerprint": look(uri),
                "kind": "near-duplicate",
                "similarity": 1 - 0.01 * rank,
                "image_score": round(1 - 0.1 * rank, 2) if rank < 10 else 0.0,
                "rank": rank,
                "run_id": RUN,
                **given,
            }
            for rank, uri in enumerate(uris or group_uris(number), start=1)
        ]

    def group(self, number: int, uris: Sequence[str] = (), dataset: str = "ada", **given: Any) -> None:
        """Writes a group with its members."""
        self.insert("similar_image_clusters", [self.similar_cluster(number, uris, dataset, **given)])
        self.insert("similar_image_members", self.members(number, uris, dataset))

    def pair(self, uri: str, other: str, dataset: str = "ada", **given: Any) -> Row:
        """A row of `similar_image_pairs`: that of the looks of two pictures."""
        first, second = sorted((look(uri), look(other)))
        return {
            **self._key(dataset),
            "fingerprint": first,
            "other_fingerprint": second,
            "signal": "hash",
            "distance": 8,
            "similarity": 1 - 8 / 256,
            "run_id": RUN,
            **given,
        }

    def features(self, uri: str, dataset: str = "ada", **given: Any) -> Row:
        """A row of `file_features`: a picture with a grey thumbnail."""
        return {
            **self._key(dataset),
            "uri": uri,
            "object_id": file_object_id(self.project, dataset, uri),
            "perceptual_hash": look(uri),
            "perceptual_hash_quality": 100,
            "thumbnail": bytes(range(0, 256, 8)) * 32,
            "image_score": 0.5,
            "fingerprint": look(uri),
            "update_time": NOON,
            "run_id": RUN,
            **given,
        }

    def figure(
        self, figure_id: str, embedding: Sequence[float] | None = None, dataset: str = "ada", **given: Any
    ) -> Row:
        """A row of `figures`: a good face, in a picture that has its name."""
        uri = f"oss://b/{figure_id}.jpg"
        return {
            **self._key(dataset),
            "figure_id": figure_id,
            "uri": uri,
            "object_id": file_object_id(self.project, dataset, uri),
            "boundary": {"left": 1, "top": 2, "width": 120, "height": 140},
            "head_pose": {"yaw": 0.0, "pitch": 0.0, "roll": 0.0},
            "face_quality": 0.95,
            "embedding": embedding,
            "update_time": NOON,
            "run_id": RUN,
            **given,
        }

    def faces(
        self, person: int | None, embeddings: Mapping[str, Any], dataset: str = "ada", role: str | None = "founder"
    ) -> None:
        """Writes faces of a person, or of nobody, by their names: in `figures`, `figure_members` and `files`."""
        rows = [self.figure(name, embedding, dataset) for name, embedding in embeddings.items()]
        whose = {"object_id": None if person is None else person_id(person), "role": role}
        same = ("bucket", "project_name", "dataset_name", "figure_id", "uri", "run_id")
        confidence = None if person is None else 1.0
        members = [{**{name: row[name] for name in same}, **whose, "confidence": confidence} for row in rows]
        self.insert("figures", rows)
        self.insert("figure_members", members)
        self.insert("files", [self.file(row["uri"], dataset) for row in rows])

    def person(
        self, number: int, founders: Sequence[str] | Mapping[str, Any] = (), /, dataset: str = "ada", **given: Any
    ) -> None:
        """Writes person `number`, whom the faces found, of these names, or names and embeddings."""
        founders = founders or [f"{number}-{name}" for name in "abc"]
        self.faces(number, founders if isinstance(founders, Mapping) else dict.fromkeys(founders), dataset)
        cover = next(iter(founders))
        row = {
            **self._key(dataset),
            "object_id": person_id(number),
            "state": "live",
            **dict.fromkeys(("faces", "founders", "files", "images"), len(founders)),
            "videos": 0,
            "cover_figure_id": cover,
            "cover_uri": f"oss://b/{cover}.jpg",
            "representative": cover,
            "generation": 1,
            "anchor": cover,
            "create_time": NOON,
            "update_time": NOON,
            "run_id": RUN,
            **given,
        }
        self.insert("figure_clusters", [row])

    def _key(self, dataset: str, bucket: bool = True) -> Row:
        key: Row = {"project_name": self.project, "dataset_name": dataset}
        return {"bucket": bucket_of(self.project, dataset, 16), **key} if bucket else key


def cluster_id(number: int) -> str:
    """The id of the cluster of a number."""
    return f"location-date-cluster-{uuid5(CLUSTER_NAMESPACE, str(number))}"


def group_id(number: int) -> str:
    """The id of the group of similar images of a number."""
    return f"SimilarImageCluster-{uuid5(CLUSTER_NAMESPACE, f'group {number}')}"


def person_id(number: int) -> str:
    """The id of the person of a number."""
    return f"Cluster-{uuid5(CLUSTER_NAMESPACE, f'person {number}')}"


def group_uris(number: int) -> list[str]:
    """The pictures of a group, unless others are given."""
    return [f"oss://b/{number}/{name}.jpg" for name in "abc"]


def look(uri: str) -> str:
    """The fingerprint of a picture: what stands before a `#` in its uri's last part, if it has one, decides."""
    return hashlib.sha256(uri.rpartition("/")[2].partition("#")[0].encode() if "#" in uri else uri.encode()).hexdigest()


def edit(sequence: int, object_id: str, action: str = "update", **given: Any) -> Row:
    """A row of `cluster_edits`."""
    fields = {
        "title": None,
        "custom_id": None,
        "custom_labels": None,
        "cover_uri": None,
        "cover_figure_id": None,
        **given,
    }
    return {
        "sequence": sequence,
        "project_name": "demo",
        "dataset_name": "ada",
        "kind": "location-date",
        "object_id": object_id,
        "action": action,
        "edit_time": NOON + timedelta(seconds=sequence),
        **fields,
    }


@pytest.fixture(scope="session")
def empty_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with the datasets ada and ben, not to be written to."""
    root = tmp_path_factory.mktemp("lake")
    LakeMaker(root).datasets("ada", "ben")
    return root


@pytest.fixture
def maker(empty_lake: Path, tmp_path: Path) -> LakeMaker:
    """A lake with the datasets ada and ben and nothing else in it."""
    root = tmp_path / "lake"
    shutil.copytree(empty_lake, root)
    return LakeMaker(root)
