"""People of whom pictures were removed: their faces there go at once, and a person without any is gone."""

from __future__ import annotations

import pyarrow as pa

from jobs.clusters.members import MemberSteps
from jobs.runtime.runs import Run
from schemas.cluster_kinds import PEOPLE
from schemas.figures import FIGURES
from schemas.files import FILES
from schemas.keys import FACE_KEY, FILE_KEY
from transforms.clusters.changing import Clustering
from transforms.clusters.naming import keep_names
from transforms.people.deciding import describe_people
from transforms.tables.keyed import anti_join, inner_join

_OF_A_FACE = ("age", "gender", "face_quality")


def drop_removed_faces(run: Run, removed: pa.Table) -> None:
    """Takes the faces of removed files (FILE_KEY) out of people; a person of whom none is left ends.

    Who is who stays as it was: that is for the next clustering to say.
    """
    lake = run.lake
    steps = MemberSteps.pin(run, PEOPLE)
    before = steps.known_of(removed)
    if not before:
        return
    left = anti_join(before["old_members"], removed, on=FILE_KEY)
    names = keep_names(left, old_clusters=before["old_clusters"], least=1)
    faces = lake.load_keys(FIGURES, lake.version(FIGURES), left, on=FACE_KEY, columns=(*FACE_KEY, *_OF_A_FACE))
    files = lake.load_keys(FILES, lake.version(FILES), left, on=FILE_KEY, columns=(*FILE_KEY, "media_type"))
    seen = inner_join(left, files, on=FILE_KEY, columns=["media_type"])
    people = describe_people(inner_join(seen, faces, on=FACE_KEY, columns=_OF_A_FACE))
    steps.commit(lambda **_: Clustering(PEOPLE, members=left, groups=people, names=names), **before)
