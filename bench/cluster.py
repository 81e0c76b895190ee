"""Clusterings of lakes on a Spark cluster, with the lakes on S3: seconds, peak memory of the driver and of executors.

    python -m bench.cluster --work DIR [--trips LAKE...] [--similar-images LAKE...]

Each LAKE is a folder with a lake whose files are located, or whose pictures are indexed; it is copied, and clustered
with default options and limits. The cluster is that of tests/cluster/chain.py: versitygw as S3, a master, and two
workers with an executor of one core each. Run it in the environment that .ci/cluster.sh sets, on an otherwise idle
machine.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

from pyarrow import fs

from bench.measuring import describe_machine, print_table, process_bytes, process_tree, sampling
from tests.cluster.chain import TRIPS, Cluster, Driver, Job, pack, start_cluster
from tests.s3.server import serve

SIMILAR_IMAGES = Job("cluster_similar_images.py", ("cluster", "similar-images"), ())
PROJECT = "bench"
EVERY = 0.5
"""Seconds between two samples of memory."""


@dataclass
class Peaks:
    """The most bytes seen at once: of the driver's Python and JVM, and of the executor, with its workers, that had
    most.
    """

    python: int = 0
    jvm: int = 0
    executor: int = 0

    def sample(self, driver: Path, cluster: Cluster) -> None:
        """Looks at the processes that there are now."""
        parts = {"python": 0, "jvm": 0}
        for process in (driver, *process_tree(driver)):
            parts["jvm" if name_of(process) == "java" else "python"] += bytes_of(process)
        executors = (Path(f"/proc/{pid}") for pid in cluster.executors())
        each = [sum(map(bytes_of, (executor, *process_tree(executor)))) for executor in executors]
        self.python, self.jvm = max(self.python, parts["python"]), max(self.jvm, parts["jvm"])
        self.executor = max(self.executor, *each, 0)


def name_of(process: Path) -> str:
    """What a process is called; nothing, if it has ended."""
    try:
        return (process / "comm").read_text().strip()
    except OSError:
        return ""


def bytes_of(process: Path) -> int:
    """The memory of a process; 0, if it has ended."""
    try:
        return process_bytes(process)
    except OSError:
        return 0


def measure(driver: Driver, job: Job, lake: Path) -> list[str]:
    """Clusters a copy of a lake; a row of the table."""
    fs.copy_files(str(lake), f"s3://lake/{lake.name}")
    there = replace(driver, lake=f"s3://lake/{lake.name}", settings=())
    asked = replace(job, options=(*job.options, "--project", PROJECT))
    peaks = Peaks()
    started = time.monotonic()
    process = there.submit(asked, lake.name)
    with sampling(lambda: peaks.sample(Path(f"/proc/{process.pid}"), driver.cluster), EVERY):
        there.wait(process, asked, lake.name)
    seconds = time.monotonic() - started
    sizes = (f"{size / 1e6:,.0f}" for size in (peaks.python, peaks.jvm, peaks.executor))
    row = [" ".join(job.verb), lake.name, f"{seconds:.1f}", *sizes]
    print(*row, flush=True)
    return row


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--trips", type=Path, nargs="*", default=[])
    parser.add_argument("--similar-images", type=Path, nargs="*", default=[])
    asked = parser.parse_args()
    print(describe_machine(("pyspark", "delta-spark", "deltalake", "pyarrow")), flush=True)
    folder = asked.work / "driver"
    folder.mkdir(parents=True)
    rows = []
    with serve(asked.work / "s3") as server, start_cluster(asked.work, server.endpoint) as cluster:
        os.environ |= server.environment
        (server.folder / "lake").mkdir()
        driver = Driver(folder, cluster, server)
        pack(folder / "lakealbum.zip")
        for job, lakes in ((TRIPS, asked.trips), (SIMILAR_IMAGES, asked.similar_images)):
            rows += [measure(driver, job, lake) for lake in lakes]
    print_table(("job", "lake", "s", "driver's Python MB", "driver's JVM MB", "largest executor MB"), rows)


if __name__ == "__main__":
    main()
