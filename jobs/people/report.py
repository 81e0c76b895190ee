"""The verb `report figures`: one HTML file on which people are named, and what is amiss with them is put right.

people, some at a time -> their best faces and those in doubt -> crops of the pictures -> who may be the same
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import click
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from catalog import imm
from catalog.commands.options import in_lake
from catalog.figures import FigureQuery, query_figures
from catalog.lake import Lake, Row, Scope
from catalog.paging import Order, check_among
from catalog.sql import all_of, equals, one_of
from jobs.pages.page import page_foot, page_head
from jobs.pages.thumbnails import Box, Crops, Thumbnail, ThumbnailReader, Unreadable, placeholder
from jobs.pages.writing import write_page
from jobs.people.page import HINT, STYLE, Face, Person, pair_section, person_section
from jobs.people.profiles import Profiles
from jobs.runtime.progress import Progress
from schemas.figures import FIGURES
from transforms.people.likeness import alike_people
from transforms.people.linkage import add_up, grid

PEOPLE_AT_ONCE = 20
"""So many people are read, and their faces cut out, at once."""
SORT_NAMES = {"faces": "FaceCount", "name": "GroupName", "update-time": "UpdateTime", "create-time": "CreateTime"}
DOUBTFUL_BELOW = 0.9
"""Confidence of a face that joined under which it is shown apart."""
MOST_PAIRS = 20
"""Pairs of people who may be the same."""
ALIKE_FROM = 0.8
"""How alike these are at least, as a share of what it takes to be one person."""


@dataclass
class Tally:
    """What the page has, counted as it is written."""

    people: int = 0
    faces: int = 0
    shown: int = 0
    doubtful: int = 0
    pairs: int = 0
    more: bool = False
    failed: set[str] = field(default_factory=set)


@click.command("figures")
@click.option("--out", required=True, metavar="FILE", help="HTML file to write; it replaces one that is there.")
@click.option("--sort", default="faces", show_default=True, help=f"{', '.join(SORT_NAMES)}.")
@click.option("--order", default="desc", show_default=True, help="asc or desc.")
@click.option(
    "--max-people", type=click.IntRange(min=1), default=200, show_default=True, help="Most people on the page."
)
@click.option(
    "--max-faces",
    type=click.IntRange(1, 100),
    default=16,
    show_default=True,
    help="Most faces of a person, and as many in doubt.",
)
@in_lake
def figures(
    lake: Lake, scope: Scope, as_json: bool, out: str, sort: str, order: Order, max_people: int, max_faces: int
) -> None:
    """Write people to an HTML file: their faces, the best first, those in doubt apart, and who may be the same.

    The faces are cut out of the pictures, which are read from their uris. The page holds faces and names: keep it as
    you keep the pictures.
    """
    check_among("sort", [sort], SORT_NAMES)
    query = FigureQuery(scope, sort=SORT_NAMES[sort], order=order, max_results=min(PEOPLE_AT_ONCE, max_people))
    tally = write_report(lake, query, Path(out), max_people=max_people, max_faces=max_faces)
    if not tally.people:
        scope.check(lake)
    if as_json:
        counts = {"People": tally.people, "Faces": tally.faces, "Shown": tally.shown, "Doubtful": tally.doubtful}
        told = {"Out": out, **counts, "MayBeTheSame": tally.pairs, "NotOpened": len(tally.failed)}
        click.echo(json.dumps(imm.answer(told), ensure_ascii=False, indent=2))
        return
    amiss = f" {_counted(len(tally.failed), 'picture')} could not be opened." if tally.failed else ""
    click.echo(
        f"{out}: {tally.people:,} people, {_counted(tally.shown, 'face')}, {tally.doubtful:,} of them in doubt; "
        f"{_counted(tally.pairs, 'pair')} may be the same person.{amiss}"
    )


def write_report(lake: Lake, query: FigureQuery, out: Path, *, max_people: int, max_faces: int) -> Tally:
    """Writes the page, whole or not at all. Raises UsageError where it cannot be written.

    Memory: the rows and crops of PEOPLE_AT_ONCE people, and of each person the sum of the faces, and four crops.
    """
    tally = Tally()

    def sections(reader: ThumbnailReader, working: Progress) -> Iterator[str]:
        seen: dict[str, Person] = {}
        for row, faces in _people(lake, query, max_people, max_faces, tally):
            working.stage(f"{tally.people:,} people", 95 * tally.people // max_people)
            person = _person(lake, row, faces, reader, tally)
            yield person_section(person, tally.people)
            seen[person.object_id] = replace(person, faces=person.faces[:4], doubtful=())
        for one, other, likeness in _alike(lake, query.scope, list(seen.values())):
            tally.pairs += 1
            yield pair_section(one, other, likeness, tally.pairs)

    def ends() -> tuple[str, str]:
        empty = "" if tally.people else "There are no people to review."
        return page_head("People", _facts(lake, query, tally), hint=HINT, style=STYLE), page_foot(empty=empty)

    with ThumbnailReader() as reader, Progress("report figures") as working:
        write_page(out, sections(reader, working), ends=ends)
    return tally


def _people(
    lake: Lake, query: FigureQuery, max_people: int, max_faces: int, tally: Tally
) -> Iterator[tuple[Row, list[Row]]]:
    """The people of the page, each with the faces that are shown."""
    token = None
    while tally.people < max_people:
        page = query_figures(lake, query, token)
        rows = page.rows[: max_people - tally.people]
        faces = _faces(lake, query.scope, rows, max_faces)
        for row in rows:
            tally.people += 1
            yield row, faces.get(row["object_id"], [])
        token = page.next_token
        tally.more = token is not None or len(rows) < len(page.rows)
        if token is None:
            return


def _faces(lake: Lake, scope: Scope, people: Sequence[Row], most: int) -> dict[str, list[Row]]:
    """Of each person, by id, the best faces, and of those in doubt the least sure."""
    if not people:
        return {}
    key = ", ".join(FIGURES.key)
    within = scope.condition(lake)
    theirs = [within, one_of("object_id", [row["object_id"] for row in people])]
    in_doubt = f"({equals('role', 'joined')} AND confidence < {DOUBTFUL_BELOW})"
    found: dict[str, list[Row]] = {}
    for is_doubtful, condition, order in (
        (False, f"NOT {in_doubt}", "face_quality DESC NULLS LAST"),
        (True, in_doubt, "confidence ASC"),
    ):
        faces = (
            f"SELECT object_id, figure_id, uri, confidence, boundary, face_quality, "
            f"row_number() OVER (PARTITION BY object_id ORDER BY {order}, figure_id) AS place FROM "
            f"(SELECT {key}, uri, object_id, confidence FROM figure_members WHERE {all_of([*theirs, condition])}) "
            f"JOIN (SELECT {key}, boundary, face_quality FROM figures WHERE {within}) USING ({key})"
        )
        rows = lake.read(
            f"SELECT * FROM ({faces}) WHERE place <= {most} ORDER BY object_id, place", "figure_members", "figures"
        )
        for row in rows:
            found.setdefault(row["object_id"], []).append(row | {"is_doubtful": is_doubtful})
    return found


def _person(lake: Lake, row: Row, faces: list[Row], reader: ThumbnailReader, tally: Tally) -> Person:
    crops = _crops(faces, reader, tally)
    shown = [
        Face(face["figure_id"], face["uri"], crops[face["figure_id"]], face["face_quality"], face["confidence"])
        for face in faces
    ]
    doubtful = [face for face, known in zip(shown, faces, strict=True) if known["is_doubtful"]]
    tally.faces += row["faces"]
    tally.shown += len(shown)
    tally.doubtful += len(doubtful)
    return Person(
        object_id=row["object_id"],
        name=row["title"],
        dataset=row["dataset_name"],
        count=row["faces"],
        files=row["files"],
        about=_about(row),
        faces=[face for face, known in zip(shown, faces, strict=True) if not known["is_doubtful"]],
        doubtful=doubtful,
        options=("--lake", lake.root, "--project", row["project_name"]),
    )


def _about(row: Row) -> str:
    """Gender and age, as far as they were estimated."""
    low, high = row["min_age"], row["max_age"]
    ages = "" if low is None else f"{low} to {high} years" if low < high else f"{low} years"
    return ", ".join(filter(None, (row["gender"], ages)))


def _crops(faces: list[Row], reader: ThumbnailReader, tally: Tally) -> dict[str, Thumbnail]:
    """The crop of each face, by its id. Each picture is opened once."""
    found: dict[str, Thumbnail] = {}
    by_uri: dict[str, list[Row]] = {}
    for face in faces:
        if face["boundary"] is None or None in face["boundary"].values():
            found[face["figure_id"]] = placeholder("it is not known where in the picture it is")
        else:
            by_uri.setdefault(face["uri"], []).append(face)
    wanted = [Crops(uri, [Box(**face["boundary"]) for face in rows]) for uri, rows in by_uri.items()]
    for rows, crops in zip(by_uri.values(), reader.read_crops(wanted), strict=True):
        for face, crop in zip(rows, crops, strict=True):
            if isinstance(crop, Unreadable):
                tally.failed.add(face["uri"])
                crop = placeholder(crop.reason)
            found[face["figure_id"]] = crop
    return found


def _alike(lake: Lake, scope: Scope, people: Sequence[Person]) -> list[tuple[Person, Person, float]]:
    """Pairs of people of one dataset who may be the same, the most alike first, each with the larger person first."""
    found = []
    for dataset in sorted({person.dataset for person in people}):
        ours = [person for person in people if person.dataset == dataset]
        model, sums, count = _founders(lake, replace(scope, datasets=(dataset,)), ours)
        known = np.flatnonzero(count)
        profile = Profiles().of(model)
        pairs = alike_people(sums[known], count[known], profile=profile, least=ALIKE_FROM * profile.person)
        for i, j, likeness in zip(*(each[:MOST_PAIRS].tolist() for each in pairs), strict=True):
            two = sorted((ours[known[i]], ours[known[j]]), key=lambda person: (not person.name, -person.count))
            found.append((two[0], two[1], likeness))
    return sorted(found, key=lambda pair: -pair[2])[:MOST_PAIRS]


def _founders(lake: Lake, scope: Scope, people: Sequence[Person]) -> tuple[str | None, np.ndarray, np.ndarray]:
    """The model of a dataset's faces; of the faces that found each person the sum, float64 (p, d), and the number."""
    ids = pa.array([person.object_id for person in people], pa.string())
    key, within = ", ".join(FIGURES.key), scope.condition(lake)
    model, sums, count = None, np.zeros((len(people), 0)), np.zeros(len(people))
    for start in range(0, len(ids), PEOPLE_AT_ONCE):
        some = one_of("object_id", ids[start : start + PEOPLE_AT_ONCE].to_pylist())
        founders = all_of([within, equals("role", "founder"), some])
        statement = (
            f"SELECT object_id, model, embedding FROM (SELECT {key}, object_id FROM figure_members WHERE {founders}) "
            f"JOIN (SELECT {key}, model, embedding FROM figures WHERE {within} AND embedding IS NOT NULL) USING ({key})"
        )
        for batch in lake.batches(statement, "figure_members", "figures"):
            if not len(batch):
                continue
            length = sums.shape[1] or len(batch["embedding"][0])
            is_equal = pc.equal(pc.list_value_length(batch["embedding"]), length)
            rows = grid(
                batch["embedding"].filter(is_equal).flatten().to_numpy(zero_copy_only=False).reshape(-1, length)
            )
            at = pc.index_in(batch["object_id"].cast(pa.string()).filter(is_equal), ids).to_numpy()
            added, number = add_up(rows, at)
            sums = sums if sums.shape[1] else np.zeros((len(people), length))
            sums[: len(added)] += added
            count[: len(number)] += number
            model = model or next(iter(batch["model"].cast(pa.string()).drop_null().to_pylist()), None)
    return model, sums, count


def _facts(lake: Lake, query: FigureQuery, tally: Tally) -> list[str]:
    """The page in a few words."""
    about = f"project {query.scope.project}"
    if query.scope.datasets:
        about += f", datasets {', '.join(query.scope.datasets)}"
    facts = [f"{tally.people:,} people{' (there are more)' if tally.more else ''}", f"{tally.faces:,} faces"]
    if tally.doubtful:
        facts.append(f"{tally.doubtful:,} in doubt")
    if tally.pairs:
        facts.append(f"{_counted(tally.pairs, 'pair')} that may be the same person, at the end")
    if tally.failed:
        facts.append(f"{_counted(len(tally.failed), 'picture')} could not be opened")
    return [*facts, about, f"lake {lake.root}", f"made {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"]


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
