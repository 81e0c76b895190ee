"""The jobs on a Spark cluster with the lake on S3, and whether their tables are those of a run on this machine.

`python -m tests.cluster.chain WORK`, with LAKEALBUM_JARS, from the root of the checkout (.ci/cluster.sh). A master and
two workers of Spark standalone run at addresses of their own, without the checkout, the driver's folder and its
credentials. An executor is killed in the middle of three jobs; two drivers index into the lake at once; people edit
clusters, and one has her faces erased. Then the same steps run here, in this process, into a lake in a folder; and the
tables are compared.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pyspark

from catalog.figures import FigureQuery, query_figures
from catalog.lake import Lake, Scope
from catalog.location_dates import LocationDateQuery, query_location_dates
from jobs.runtime.jars import jar_settings
from tests.cluster.compare import main as compare
from tests.cluster.sources import write_sources
from tests.s3.server import Server, serve

ROOT = Path(__file__).parents[2]
PACKAGES = ("jobs", "transforms", "schemas", "catalog", "conf")
SENT = (".py", ".yaml", ".conf", ".xml", ".parquet", ".json")
LAKE, SOURCE = "s3://lake/cluster", "s3://inbox"
MASTER, WORKERS = "127.0.0.2", ("127.0.0.3", "127.0.0.4")
LONGEST = 1800.0
"""Seconds that one job may take, on a busy machine too."""


@dataclass(frozen=True)
class Job:
    """A job file with its options, and the verb that does the same; `killed_at`: when an executor dies, by the log."""

    file: str
    verb: tuple[str, ...]
    options: tuple[str, ...]
    killed_at: str | None = None


INDEX = ("index_files.py", ("index",))
AREAS = Job(
    "build_areas.py",
    ("boundaries",),
    (f"{SOURCE}/areas.geojson", "--level", "level", "--code", "code"),
    killed_at="finding the areas above",
)
AT_ONCE = tuple(Job(*INDEX, (f"{SOURCE}/files/{name}.jsonl",)) for name in ("ada", "mei"))
TRIPS = Job("cluster_location_dates.py", ("cluster", "location-date"), ("--config", "conf/location-dates.yaml"))
PEOPLE = Job("cluster_figures.py", ("cluster", "figures"), ("--config", "conf/figures.yaml"))
ONE_BY_ONE = (
    Job(*INDEX, (f"{SOURCE}/photos", "--format", "photos", "--dataset", "ada")),
    Job(*INDEX, (f"{SOURCE}/faces.jsonl", "--rows", "figures", "--dataset", "ada")),
    replace(TRIPS, killed_at="segments: cutting the days"),
    Job("cluster_similar_images.py", ("cluster", "similar-images"), (), killed_at="groups"),
    PEOPLE,
)
AFTER_EDITS = (TRIPS, PEOPLE, Job("maintain.py", ("maintain",), ()))


def environment(**more: str) -> dict[str, str]:
    """What a process gets that has neither the checkout nor credentials; nothing asks the cloud's machines for any."""
    names = ("PATH", "HOME", "JAVA_HOME", "LANG", "TMPDIR")
    known = {name: os.environ[name] for name in names if name in os.environ}
    return known | {"AWS_EC2_METADATA_DISABLED": "true", **more}


def spark_program(name: str) -> str:
    """A program of the PySpark that is installed."""
    return str(Path(pyspark.__file__).parent / "bin" / name)


def free_port(address: str) -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind((address, 0))
        return int(free.getsockname()[1])


@dataclass(frozen=True)
class Cluster:
    """A running cluster: its master's URL, and the processes of its workers."""

    url: str
    workers: list[subprocess.Popen[bytes]]

    def executors(self) -> list[int]:
        """The processes of the executors, of whatever job."""
        listed = subprocess.run(
            ["pgrep", "-P", ",".join(str(worker.pid) for worker in self.workers)], capture_output=True, text=True
        )
        return [int(pid) for pid in listed.stdout.split()]


@contextmanager
def start_cluster(work: Path, endpoint: str) -> Iterator[Cluster]:
    """A master, and a worker of two cores at each address of WORKERS."""
    port = free_port(MASTER)
    url = f"spark://{MASTER}:{port}"
    run = [spark_program("spark-class")]
    master = ["org.apache.spark.deploy.master.Master", "--host", MASTER, "--port", str(port), "--webui-port", "0"]
    of_worker = ["org.apache.spark.deploy.worker.Worker", "--cores", "2", "--memory", "3g", "--webui-port", "0"]
    with ExitStack() as stack:
        stack.enter_context(running([*run, *master], work / "master.log", environment(SPARK_LOCAL_IP=MASTER)))
        workers = []
        for address in WORKERS:
            folder = work / address
            folder.mkdir()
            command = [*run, *of_worker, "--host", address, "--work-dir", str(folder), url]
            known = environment(SPARK_LOCAL_IP=address, SPARK_LOCAL_DIRS=str(folder), AWS_ENDPOINT_URL=endpoint)
            started = running(
                hide([work / "driver", *(ROOT / name for name in PACKAGES)], command), folder / "log", known
            )
            workers.append(stack.enter_context(started))
        yield Cluster(url, workers)


def hide(folders: Sequence[Path], command: list[str]) -> list[str]:
    """The command, run where the folders are empty, if this account may make such a place."""
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        print("unshare -m is not allowed here: the workers see the checkout")
        return command
    mounts = "".join(f"mount -t tmpfs none {folder}; " for folder in folders)
    return ["unshare", "-m", "bash", "-ec", f'{mounts} exec "$@"', "bash", *command]


@contextmanager
def running(command: list[str], log: Path, known: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends with the block."""
    with log.open("wb") as out, subprocess.Popen(command, env=known, cwd="/", stdout=out, stderr=out) as process:
        try:
            yield process
        finally:
            process.terminate()


def pack(bundle: Path) -> None:
    """Makes the archive of packages that workers get."""
    with zipfile.ZipFile(bundle, "w") as packed:
        for package in PACKAGES:
            for file in sorted((ROOT / package).rglob("*")):
                if file.suffix in SENT:
                    packed.write(file, file.relative_to(ROOT))


@dataclass(frozen=True)
class Driver:
    """How jobs are submitted: from a folder that workers do not see, with what a user gives to spark-submit."""

    folder: Path
    cluster: Cluster
    server: Server
    lake: str = LAKE
    settings: tuple[str, ...] = ("--set", "driver_rows=0")

    def submit(self, job: Job, name: str) -> subprocess.Popen[bytes]:
        """Starts a job. What it says is in NAME.log: spark-submit sends a Python driver's stderr to stdout."""
        jars = jar_settings(geometry=job is AREAS, s3=True)["spark.jars"]
        settings = {"spark.cores.max": "2", "spark.executor.cores": "1", "spark.executor.memory": "1g"}
        settings |= {"spark.driver.memory": "1g", "spark.driver.host": "127.0.0.1"}
        options = [part for key, value in settings.items() for part in ("--conf", f"{key}={value}")]
        known = environment(
            **self.server.environment,
            PYSPARK_PYTHON=sys.executable,
            SPARK_CONF_DIR=str(ROOT / "conf"),
            SPARK_LOCAL_IP="127.0.0.1",
            JDK_JAVA_OPTIONS="-XX:TieredStopAtLevel=1",
            LAKEALBUM_LOG="json",
        )
        command = [spark_program("spark-submit"), "--master", self.cluster.url, *options, "--jars", jars]
        command += ["--properties-file", str(ROOT / "conf/spark-defaults.conf")]
        command += ["--py-files", str(self.folder / "lakealbum.zip"), str(ROOT / "jobs" / job.file)]
        command += [*job.options, "--lake", self.lake, *self.settings]
        with self._log(name).open("wb") as log:
            return subprocess.Popen(command, env=known, cwd=ROOT, stdout=log, stderr=log)

    def wait(self, process: subprocess.Popen[bytes], job: Job, name: str) -> None:
        """Waits for a job, kills an executor where it says so, and raises RuntimeError where the job failed."""
        started = time.monotonic()
        killed = None
        while process.poll() is None:
            if time.monotonic() - started > LONGEST:
                process.kill()
            if job.killed_at and killed is None and f'"stage": "{job.killed_at}"' in self._log(name).read_text():
                killed = self.cluster.executors()[0]
                os.kill(killed, signal.SIGKILL)
            time.sleep(0.05)
        seconds = time.monotonic() - started
        print(f"{name:<28} {seconds:5.0f} s" + (f", executor {killed} killed" if killed else ""), flush=True)
        if process.returncode:
            raise RuntimeError(f"{name} ended with {process.returncode}:\n{self._log(name).read_text()[-4000:]}")
        if job.killed_at and killed is None:
            raise RuntimeError(f"{name} never said {job.killed_at!r}, so that no executor was killed")

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def run(self, *jobs: Job) -> None:
        """Runs jobs at once."""
        names = [f"{'-'.join(job.verb)}-{Path(job.options[0]).stem if job.options else 'all'}" for job in jobs]
        started = [self.submit(job, name) for job, name in zip(jobs, names, strict=True)]
        for process, job, name in zip(started, jobs, names, strict=True):
            self.wait(process, job, name)


def command(lake: str, *words: str) -> None:
    """Runs a command in this process."""
    from jobs.cli.main import lakealbum, run

    if code := run(lakealbum, [*words, "--lake", lake]):
        raise RuntimeError(f"{' '.join(words)} ended with {code} here")


def run_here(lake: str, *jobs: Job) -> None:
    """Runs jobs in this process."""
    for job in jobs:
        command(lake, *job.verb, *job.options)


def edit(lake: str) -> Job:
    """Says something of two trips and of two people, in this process; the job that erases a third's faces."""
    trips = query_location_dates(Lake(lake), LocationDateQuery(Scope("default"), max_results=2)).rows
    people = query_figures(Lake(lake), FigureQuery(Scope("default"), max_results=3)).rows
    titled, deleted = (trip["object_id"] for trip in trips)
    named, ignored, erased = (person["object_id"] for person in people)
    command(lake, "update", "location-date", titled, "--title", "First trip", "--custom-id", "trip-1")
    command(lake, "delete", "location-date", deleted)
    command(lake, "update", "figures", named, "--name", "Ada")
    command(lake, "delete", "figures", ignored)
    return Job("erase_figure.py", ("erase", "figure"), (erased,))


def main(work: Path) -> int:
    """Returns how many tables differ."""
    driver_folder = work / "driver"
    driver_folder.mkdir()
    with serve(work / "s3") as server, start_cluster(work, server.endpoint) as cluster:
        os.environ |= server.environment
        for bucket in ("lake", "inbox"):
            (server.folder / bucket).mkdir()
        write_sources(driver_folder / "sources", SOURCE)
        driver = Driver(driver_folder, cluster, server)
        pack(driver_folder / "lakealbum.zip")
        driver.run(AREAS)
        driver.run(*AT_ONCE)
        for job in ONE_BY_ONE:
            driver.run(job)
        for job in (edit(LAKE), *AFTER_EDITS):
            driver.run(job)
        here = str(driver_folder / "lake")
        run_here(here, AREAS, *AT_ONCE, *ONE_BY_ONE)
        run_here(here, edit(here), *AFTER_EDITS)
        return compare(here, LAKE)


if __name__ == "__main__":
    sys.exit(min(1, main(Path(sys.argv[1]))))
