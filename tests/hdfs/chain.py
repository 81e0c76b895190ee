"""The jobs on YARN with the lake on HDFS, and whether their tables are those of a run on this machine.

`python -m tests.hdfs.chain WORK HADOOP`, with LAKEALBUM_JARS, from the root of the checkout (.ci/hdfs.sh). HADOOP is a
folder with the jars of hadoop-client-minicluster and of what it needs: MiniHadoop.java starts HDFS and YARN with them,
in one process. Every job is submitted by spark-submit, with limits that leave all work to the two executors. Then the
same steps run here, into a lake in a folder; and the tables are compared.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pyspark

from jobs.runtime.jars import jar_settings
from tests.cluster.chain import ROOT, TRIPS, Job, environment, pack, run_here, spark_program
from tests.cluster.compare import main as compare
from tests.cluster.sources import write_files

SPARK_JARS = Path(pyspark.__file__).parent / "jars"
OF_SPARK = ("hadoop-client-", "slf4j-api", "log4j-", "jcl-over-slf4j")
"""How the names of Spark's jars begin that Hadoop runs with."""
LONGEST = 900.0
"""Seconds that the start, or a job, may take."""


@dataclass(frozen=True)
class Hadoop:
    """A running HDFS and YARN: the folder with their configuration, and the root of HDFS."""

    folder: Path
    root: str

    def shell(self, *command: str) -> None:
        """Runs a command of Hadoop's file system shell."""
        classpath = ":".join([str(self.folder), *_classpath(SPARK_JARS, OF_SPARK)])
        subprocess.run(["java", "-cp", classpath, "org.apache.hadoop.fs.FsShell", *command], check=True)


@contextmanager
def start_hadoop(folder: Path, jars: Path) -> Iterator[Hadoop]:
    """HDFS and YARN, which end with the block."""
    folder.mkdir()
    classpath = ":".join([*_classpath(jars, ("",)), *_classpath(SPARK_JARS, OF_SPARK)])
    opened = ["--add-opens", "java.base/java.lang=ALL-UNNAMED"]
    program = str(Path(__file__).with_name("MiniHadoop.java"))
    command = ["java", "-Xmx1g", *opened, "-cp", classpath, program, str(folder)]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=log, stderr=log) as process,
    ):
        try:
            _wait_for(folder / "yarn-site.xml", process)
            properties = ElementTree.parse(folder / "core-site.xml").iterfind("property")
            root = next(each.findtext("value") for each in properties if each.findtext("name") == "fs.defaultFS")
            yield Hadoop(folder, str(root))
        finally:
            process.kill()


def _classpath(folder: Path, names: tuple[str, ...]) -> list[str]:
    return [str(jar) for jar in sorted(folder.glob("*.jar")) if jar.name.startswith(names)]


def _wait_for(file: Path, process: subprocess.Popen[bytes]) -> None:
    started = time.monotonic()
    while not file.exists():
        if process.poll() is not None or time.monotonic() - started > LONGEST:
            raise RuntimeError(f"Hadoop did not start:\n{(file.parent / 'log').read_text()[-4000:]}")
        time.sleep(0.2)


def submit(hadoop: Hadoop, work: Path, job: Job, lake: str, *, mode: str = "client") -> None:
    """Runs a job on YARN, its driver here or, in `mode` cluster, there. Raises RuntimeError where it fails."""
    settings = {
        "spark.jars": jar_settings(geometry=False)["spark.jars"],
        "spark.yarn.jars": f"local:{SPARK_JARS}/*",
        "spark.yarn.am.memory": "512m",
        "spark.executor.instances": "2",
        "spark.executor.memory": "1g",
        "spark.driver.memory": "1g",
        "spark.yarn.appMasterEnv.PYSPARK_PYTHON": sys.executable,
        **({"spark.driver.host": "localhost"} if mode == "client" else {}),
    }
    command = [spark_program("spark-submit"), "--master", "yarn", "--deploy-mode", mode]
    command += ["--py-files", str(work / "lakealbum.zip")]
    command += [part for key, value in settings.items() for part in ("--conf", f"{key}={value}")]
    command += ["--properties-file", str(ROOT / "conf/spark-defaults.conf"), str(ROOT / "jobs" / job.file)]
    command += [*job.options, "--lake", lake, *(("--set", "driver_rows=0") if mode == "client" else ())]
    known = environment(
        HADOOP_CONF_DIR=str(hadoop.folder),
        PYSPARK_PYTHON=sys.executable,
        SPARK_CONF_DIR=str(ROOT / "conf"),
        LAKEALBUM_LOG="json",
    )
    started = time.monotonic()
    done = subprocess.run(command, env=known, cwd=ROOT, capture_output=True, text=True, timeout=LONGEST, check=False)
    print(f"{' '.join(job.verb):<28} {time.monotonic() - started:5.0f} s", flush=True)
    if done.returncode:
        raise RuntimeError(f"{job.file} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-4000:]}")


def main(work: Path, jars: Path) -> int:
    """Returns how many tables differ."""
    pack(work / "lakealbum.zip")
    write_files(work / "files")
    with start_hadoop(work / "hadoop", jars) as hadoop:
        hadoop.shell("-put", str(work / "files"), f"{hadoop.root}/files")
        lake, source = f"{hadoop.root}/lake", f"{hadoop.root}/files"
        groups = Job("cluster_similar_images.py", ("cluster", "similar-images"), ())
        steps = (
            Job("index_files.py", ("index",), (source,)),
            TRIPS,
            groups,
            Job("maintain.py", ("maintain",), ()),
        )
        for job in steps:
            submit(hadoop, work, job, lake)
        submit(hadoop, work, groups, lake, mode="cluster")  # nothing is new, and no row needs Spark
        here = str(work / "lake")
        run_here(here, *steps)
        return compare(here, lake)


if __name__ == "__main__":
    os.environ.setdefault("LAKEALBUM_LOG", "quiet")
    sys.exit(min(1, main(Path(sys.argv[1]), Path(sys.argv[2]))))
