"""SearchImageFigureCluster for pictures that the server may read: real networks, in a process of their own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from catalog.commits import replace
from jobs.people.looking import faces_of_picture
from schemas.datasets import DATASETS
from schemas.errors import NotFound, UsageError
from serve.sources import Sources
from tests.catalog.conftest import NOON, person_id
from tests.serve.conftest import Endpoint, Running, make_endpoint
from tests.serve.test_queries import Library
from tests.transforms.pictures.real_faces import GROUP, MAN, MODELS, PUMPKIN, needs_faces

pytestmark = [
    needs_faces,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
FAMILY = "yunet-sface"


@pytest.fixture(autouse=True)
def models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKEALBUM_MODELS", str(MODELS))


@pytest.mark.long
def test_the_people_of_a_picture_that_may_be_read(tmp_path: Path) -> None:
    pictures, elsewhere = tmp_path / "pictures", tmp_path / "elsewhere"
    for folder in (pictures, elsewhere):
        folder.mkdir()
        shutil.copy(MAN, folder / "man.tiff")
    (pictures / "text.jpg").write_text("no picture")
    shutil.copy(PUMPKIN, pictures / "pumpkin.jpg")
    (pictures / "link.tiff").symlink_to(elsewhere / "man.tiff")
    app, made = make_endpoint(tmp_path)
    app.door.queue.sources = Sources.of([str(pictures)])
    running = Running.start(app)
    try:
        library = Library(Endpoint(f"127.0.0.1:{running.port}", made.lake, made.credentials, made.key, made.log))
        (man,) = faces_of_picture(str(MAN), FAMILY)
        library.maker.person(1, {f"1-{face}": man["embedding"] for face in "abc"})
        opposite = [-value for value in man["embedding"]]
        library.maker.person(2, {f"2-{face}": opposite for face in "abc"})
        uri = str(pictures / "man.tiff")
        assert (
            library.refused("search_image_figure_cluster", source_uri=uri) == "UnsupportedOperation"
        )  # no faces asked
        row = {"project_name": library.project, "dataset_name": "ada", "create_time": NOON, "update_time": NOON}
        replace(made.lake.root, DATASETS, [{**row, "faces": FAMILY}])

        best, other = library.ask("search_image_figure_cluster", source_uri=uri).clusters
        assert (best.cluster_id, round(best.similarity, 3)) == (person_id(1), 1.0)
        assert (other.cluster_id, other.similarity) == (person_id(2), 0.0)
        assert (best.boundary.left, best.boundary.width) == (man["boundary"]["left"], man["boundary"]["width"])
        for name, code in (
            (pictures / "text.jpg", "InvalidArgument"),
            (pictures / "none.jpg", "ResourceNotFound"),
            (elsewhere / "man.tiff", "UnsupportedOperation"),
            (pictures / "link.tiff", "UnsupportedOperation"),
            (pictures / ".." / "elsewhere" / "man.tiff", "UnsupportedOperation"),
        ):
            assert library.refused("search_image_figure_cluster", source_uri=str(name)) == code, name
        assert library.ask("search_image_figure_cluster", source_uri=(pictures / "man.tiff").as_uri()).clusters
    finally:
        running.stop()


@pytest.mark.long
def test_a_process_that_dies_is_started_again(tmp_path: Path) -> None:
    finder = make_endpoint(tmp_path)[0].door.queue.faces
    try:
        first = finder.find(str(MAN), FAMILY)
        assert finder._process is not None
        finder._process.kill()
        finder._process.wait()
        assert finder.find(str(MAN), FAMILY) == first
        assert len(first[0]["embedding"]) == 128
    finally:
        finder.close()


@pytest.mark.long
def test_what_faces_are_not_looked_for_in(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "blank.png")
    assert faces_of_picture(str(tmp_path / "blank.png"), FAMILY) == []
    assert len(faces_of_picture(str(GROUP), FAMILY)) >= 1
    with pytest.raises(NotFound, match="none"):
        faces_of_picture(str(tmp_path / "none.png"), FAMILY)
    (tmp_path / "half.jpg").write_bytes(GROUP.read_bytes()[:100])
    with pytest.raises(UsageError):
        faces_of_picture(str(tmp_path / "half.jpg"), FAMILY)
