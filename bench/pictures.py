"""How fast headers of pictures are read: by the reader alone, by `index --no-hashes`, and by ExifTool.

Pictures are made: JPEGs with EXIF (time, offset, place, camera, a maker's note) and pixels behind, so that most of each
file is never read. `python -m bench.pictures --files 20000 [--kib 200]` prints files a second; ExifTool is
`exiftool -fast2` in one process a core, where it is installed.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from bench.measuring import describe_machine, process_tree
from transforms.pictures.files import Reading, list_pictures, read_batches

TAGS = ("-DateTimeOriginal", "-OffsetTimeOriginal", "-GPSLatitude", "-GPSLongitude", "-Make", "-Model", "-ImageSize")


def make_pictures(folder: Path, *, files: int, kib: int) -> None:
    """JPEGs of about so many KiB, in folders of a thousand, each with a time of its own."""
    noise = np.random.default_rng(1).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    for number in range(files):
        exif = Image.Exif()
        exif[0x010F], exif[0x0110], exif[0x0112] = "Canon", "EOS R6", 1
        taken = exif.get_ifd(0x8769)
        minute, second = divmod(number, 60)
        taken[0x9003] = f"2024:{1 + number % 12:02d}:{1 + number % 28:02d} 10:{minute % 60:02d}:{second:02d}"
        taken[0x9011] = "+02:00"
        taken[0x927C] = bytes(4000)
        gps = exif.get_ifd(0x8825)
        gps[1], gps[2], gps[3], gps[4] = "N", (48.0, 51.0, 27.7), "E", (2.0, 17.0, 42.0)
        path = folder / f"{number // 1000:04d}" / f"IMG_{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        if number == 0:
            pixels = io.BytesIO()
            Image.fromarray(noise).save(pixels, "JPEG", quality=80)
            body = pixels.getvalue()[2:]
            body += bytes(max(0, kib * 1024 - len(body)))
        block = exif.tobytes()
        path.write_bytes(b"\xff\xd8\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block + body)


def read_alone(listing: pa.Table) -> int:
    """Reads headers in this process; the number of pictures with a time."""
    batches = read_batches(listing.to_batches(max_chunksize=1000), Reading(hashes=False))
    return sum(batch.num_rows - batch.column("produce_time").null_count for batch in batches)


@contextmanager
def timed(name: str, files: int) -> Iterator[None]:
    """Prints how many files a second what is inside does, by the clock and by the processors' time."""
    begun, used = time.perf_counter(), used_seconds()
    yield
    seconds, spent = time.perf_counter() - begun, used_seconds() - used
    by_cpu = f"{spent:7.2f} s of CPU: {1000 * spent / files:.2f} ms a file"
    print(f"{name:<40} {files / seconds:>9,.0f} files/s  {seconds:7.2f} s  {by_cpu}", flush=True)


def used_seconds() -> float:
    """What this process and those below it have used of the processors, those that have ended too."""
    ended, spent = os.times(), 0
    for process in process_tree(Path(f"/proc/{os.getpid()}")):
        with suppress(OSError):  # it has ended
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            spent += sum(map(int, fields[11:15]))  # its own, and those of children that it waited for
    return sum(ended[:4]) + spent / os.sysconf("SC_CLK_TCK")


def run_exiftool(folders: list[Path]) -> None:
    command = ["exiftool", "-fast2", "-q", "-csv", "-n", *TAGS, *map(str, folders)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    """Makes pictures, reads them in each way, and prints how long it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--kib", type=int, default=40)
    parser.add_argument("--no-spark", action="store_true")
    asked = parser.parse_args()
    cores = os.cpu_count() or 1
    print(describe_machine(("pyspark", "deltalake", "pyarrow")))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "photos")
        make_pictures(root, files=asked.files, kib=asked.kib)
        with timed("listing", asked.files):
            listing = list_pictures(str(root)).pictures
        with timed("reader, one process", asked.files):
            assert read_alone(listing) == asked.files
        share = -(-listing.num_rows // cores)
        with get_context("spawn").Pool(cores) as pool:
            pool.map(read_alone, [listing.slice(0, 1)] * cores)
            with timed(f"reader, {cores} processes", asked.files):
                pool.map(read_alone, [listing.slice(at * share, share) for at in range(cores)])
        if shutil.which("exiftool"):
            folders = sorted(root.iterdir())
            with timed(f"exiftool -fast2, {cores} processes", asked.files), ThreadPoolExecutor(cores) as threads:
                list(threads.map(run_exiftool, [folders[at::cores] for at in range(cores)]))
        if not asked.no_spark:
            _index(root, Path(folder, "lake"), asked.files)


def _index(root: Path, lake: Path, files: int) -> None:
    from jobs.index_files import index_files
    from jobs.indexing.options import IndexFiles
    from jobs.runtime.runs import run_job

    for attempt in ("first", "again"):
        config = IndexFiles(
            source=(str(root),), lake=f"{lake}-{attempt}", project="p", dataset=("d",), format="photos", hashes=False
        )
        with run_job(config, job="index-files", task_type="FileIndexing", create=config.settings) as run:
            run.lake.spark  # noqa: B018 - it is started
            with timed(f"index --no-hashes, Spark up, {attempt}", files):
                index_files(run, config)
            assert run.ledger.row_counts["accepted"] == files


if __name__ == "__main__":
    main()
