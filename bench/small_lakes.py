"""What small lakes cost at the command line: a family's lake, one of 2,000 pictures, and one new row.

    python -m bench.small_lakes --library make_library.py [--work DIR]

Each line is a command as typed, in a process of its own: seconds, CPU seconds of all its processes, and whether it
started a JVM. `start of Spark` is a session that is opened and closed again: take it off a command that starts one.
Run it from the repository's root, in the environment that `./lakealbum` sets (PYTHONPATH, LAKEALBUM_JARS,
SPARK_CONF_DIR), on an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.measuring import describe_machine, print_table, sampled_cpu

TRIPS = ("--gap-days", "1", "--min-days", "1", "--max-days", "15", "--levels", "city,province")
OPEN_SESSION = "from jobs.runtime.session import open_session; open_session('bench').stop()"
ONE_ROW = (
    "uri,dataset_name,media_type,produce_time,latitude,longitude\n"
    "s3://new/1.jpg,mei,image,2025-03-09T12:00:00+08:00,30.75,120.75\n"
)


class Cost(NamedTuple):
    """What a command took."""

    seconds: float
    cpu_seconds: float
    starts_jvm: bool

    def row(self, what: str) -> list[str]:
        """A row of the printed table."""
        return [what, f"{self.seconds:.1f}", f"{self.cpu_seconds:.1f}", "yes" if self.starts_jvm else "no"]


def measure(*arguments: str) -> Cost:
    """Runs Python with arguments; RuntimeError with what it said where it fails."""
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said, sampled_cpu(every=0.1) as processes:
        code = subprocess.run([sys.executable, *arguments], stdout=said, stderr=said).returncode
        seconds = time.perf_counter() - start
        if code:
            said.seek(0)
            raise RuntimeError(f"{' '.join(arguments)}: {said.read()[-2000:]}")
    cpu_seconds = sum(process.cpu_seconds for process in processes.values())
    return Cost(seconds, cpu_seconds, any(process.name == "java" for process in processes.values()))


def type_command(lake: Path, *words: str) -> Cost:
    """What a command costs at a lake."""
    return measure("-m", "jobs.cli.main", *words, "--lake", str(lake))


def with_hashes(source: Path, seed: int) -> Path:
    """The same files with random perceptual hashes."""
    files = pq.read_table(source)
    hashes = np.random.default_rng(seed).bytes(32 * files.num_rows).hex()
    texts = [hashes[at : at + 64] for at in range(0, len(hashes), 64)]
    quality = pa.array(np.full(files.num_rows, 100, np.int32))
    pq.write_table(
        files.append_column("perceptual_hash", pa.array(texts)).append_column("perceptual_hash_quality", quality),
        source,
    )
    return source


def library(maker: Path, out: Path, *, datasets: int, files: int, share: float, offset: float) -> Path:
    """A share of a library of files, as one Parquet file."""
    sizes = ["--datasets", str(datasets), "--files", str(files), "--share", str(share), "--offset", str(offset)]
    subprocess.run([sys.executable, str(maker), str(out), *sizes, "--seed", "1", "--parts", "1"], check=True)
    whole = pq.read_table(out)
    pq.write_table(whole, out / "all.parquet")
    return out / "all.parquet"


def two_deliveries(maker: Path, work: Path, name: str, *, datasets: int, files: int, new: float) -> list[Path]:
    """A library but for a share, and that share."""
    first = library(maker, work / f"{name}-1", datasets=datasets, files=files, share=1 - new, offset=0)
    return [first, library(maker, work / f"{name}-2", datasets=datasets, files=files, share=new, offset=1 - new)]


def main() -> None:
    """Runs all and prints one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", type=Path, required=True, help="make_library.py")
    parser.add_argument("--work", type=Path, help="where lakes are made; by default a temporary directory")
    asked = parser.parse_args()
    print(describe_machine(["pyspark", "delta-spark", "deltalake", "pyarrow"]))
    with tempfile.TemporaryDirectory(dir=asked.work) as folder:
        work = Path(folder)
        rows = (cost.row(what) for what, cost in costs(asked.library, work))
        print_table(["command", "s", "CPU s", "JVM"], rows)


def costs(maker: Path, work: Path) -> Iterator[tuple[str, Cost]]:
    """Each command that is measured, and what it took."""
    yield "start of Spark", measure("-c", OPEN_SESSION)

    demo, one = work / "demo", work / "one.csv"
    one.write_text(ONE_ROW)
    yield "`demo`", type_command(demo, "demo")
    yield "demo's lake: `index` of one row", type_command(demo, "index", str(one), "--project", "demo")
    trips = type_command(demo, "cluster", "location-date", "--project", "demo", *TRIPS)
    yield "and `cluster location-date`", trips

    sizes = (("2,000 files", 10, 2_100, 100 / 2_100), ("60,000 files", 200, 60_000, 1 / 3))
    for name, datasets, files, new in sizes:
        lake = work / f"lake-{files}"
        sources = two_deliveries(maker, work, str(files), datasets=datasets, files=files, new=new)
        for number, source in enumerate(sources):
            count = pq.read_metadata(with_hashes(source, number)).num_rows
            what = f"{name}: {count:,} new" if number else f"{name}: first {count:,}"
            yield f"{what}, `index`", type_command(lake, "index", str(source), "--project", "p")
            for kind, options in (("location-date", TRIPS), ("similar-images", ())):
                cost = type_command(lake, "cluster", kind, "--project", "p", *options)
                yield f"{what}, `cluster {kind}`", cost


if __name__ == "__main__":
    main()
