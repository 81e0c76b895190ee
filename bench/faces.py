"""How fast faces are found: decoding, detection and embedding apart, and the reader beside a plain loop.

Pictures are JPEGs of 0.3, 2 and 12 megapixels with the faces of one real picture in them, on what else it shows, spread
over the whole size. All is measured in CPU seconds of this process, one thread, as a Spark task works; the plain loop
decodes with Pillow, and calls the same networks at the same scales, without hashes, scores, sidecars and quality.

`python -m bench.faces PICTURE [--pictures 20] [--device cuda]`; models: LAKEALBUM_MODELS.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
from PIL import Image, ImageChops

from jobs.people.face_models import DEFAULT_FAMILY
from jobs.people.finding import recipe
from transforms.pictures.face_alignment import align
from transforms.pictures.face_detection import find_faces
from transforms.pictures.face_networks import Detector, Embedder, FaceRecipe
from transforms.pictures.files import Reading, list_pictures, read_batches
from transforms.pictures.pixels import PixelReader

SIZES = {"0.3 MP": (640, 480), "2 MP": (1632, 1224), "12 MP": (4032, 3024)}


def make_pictures(source: Path, folder: Path, size: tuple[int, int], *, count: int) -> None:
    """JPEGs of a size, each shifted by some pixels, so that no two are the same."""
    folder.mkdir()
    with Image.open(source) as opened:
        whole = opened.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    for number in range(count):
        ImageChops.offset(whole, 3 * number, 2 * number).save(folder / f"{number:04d}.jpg", quality=88)


def cpu(work: Callable[[], int]) -> tuple[float, int]:
    """CPU seconds that some work takes, and what it counted."""
    start = time.process_time()
    count = work()
    return time.process_time() - start, count


def plain_loop(paths: list[Path], detector: Detector, embedder: Embedder) -> int:
    """Decodes, finds and embeds; the number of faces."""
    faces = 0
    for path in paths:
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
        boxes = find_faces(picture, detector)
        for landmarks in boxes.landmarks:
            embedder.embed(align(picture, landmarks))
        faces += len(boxes.score)
    return faces


def read_all(listing: pa.Table, looks: FaceRecipe | None) -> int:
    """Reads pictures as a task of `index` does; the number of faces."""
    batches = read_batches(listing.to_batches(), Reading(faces=looks))
    return sum(len(faces or ()) for batch in batches for faces in batch.column("faces").to_pylist())


def stages(paths: list[Path], detector: Detector, embedder: Embedder) -> Iterator[tuple[str, float]]:
    """What each stage takes of a picture, CPU milliseconds."""
    pictures: list[Image.Image] = []

    def decode() -> int:
        with PixelReader() as reader:
            for path in paths:
                size = path.stat().st_size
                with path.open("rb") as file:
                    found = reader.read(file, "image/jpeg", size=size, pixels=1, colours=True)
                assert found
                assert found.colours
                pictures[:] = [found.colours]  # the last one: hundreds would not fit
        return len(paths)

    yield "decoding", cpu(decode)[0] / len(paths) * 1e3
    picture = pictures[0]
    boxes = find_faces(picture, detector)
    yield "detection", cpu(lambda: len([find_faces(picture, detector) for _ in range(5)]))[0] / 5 * 1e3
    embed = cpu(lambda: len([embedder.embed(align(picture, each)) for each in boxes.landmarks]))[0]
    yield f"embedding of {len(boxes.score)} faces", embed * 1e3


def main() -> None:
    """Makes pictures, and prints what finding their faces takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--pictures", type=int, default=20)
    parser.add_argument("--models", default=DEFAULT_FAMILY)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    asked = parser.parse_args()
    looks = replace(recipe(asked.models), device=asked.device)
    detector, embedder = (
        made(part, device=looks.device) for made, part in ((Detector, looks.detector), (Embedder, looks.embedder))
    )
    with tempfile.TemporaryDirectory() as root:
        for name, size in SIZES.items():
            folder = Path(root, name.replace(" ", "-"))
            make_pictures(asked.picture, folder, size, count=asked.pictures)
            paths = sorted(folder.iterdir())
            listing = list_pictures(str(folder)).pictures
            plain_loop(paths[:1], detector, embedder)
            setup = cpu(lambda listing=listing: read_all(listing.slice(0, 0), looks))[0]  # type: ignore[misc]
            plain, faces = cpu(lambda paths=paths: plain_loop(paths, detector, embedder))  # type: ignore[misc]
            reader, found = cpu(lambda listing=listing: read_all(listing, looks))  # type: ignore[misc]
            without, _ = cpu(lambda listing=listing: read_all(listing, None))  # type: ignore[misc]
            reader -= setup
            count = len(paths)
            print(f"{name}:", ", ".join(f"{stage} {ms:.0f} ms" for stage, ms in stages(paths, detector, embedder)))
            print(
                f"{name}: pictures a CPU second: plain loop {count / plain:.2f} ({faces} faces), reader "
                f"{count / reader:.2f} ({found} faces), {plain / reader:.2f} of that; without faces "
                f"{count / without:.1f}; loading the networks {setup:.2f} s a task",
                flush=True,
            )


if __name__ == "__main__":
    main()
