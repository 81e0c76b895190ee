"""What the benchmarks share: runs and jobs in this process, seconds, memory, scores of groups, and what is printed."""

from __future__ import annotations

import itertools
import math
import os
import platform
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
from deltalake import DeltaTable
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from catalog.selecting import select
from jobs.cli.options import JobConfig
from jobs.runtime.commits import Step, put_rows
from jobs.runtime.lake import Lake, spark_schema
from jobs.runtime.progress import Progress
from jobs.runtime.runs import Run, run_job
from schemas.contract import Contract
from schemas.settings import LakeSettings

SAMPLE_SECONDS = 0.5
Classes = NDArray[np.int64]
Bools = NDArray[np.bool_]
Config = TypeVar("Config", bound=JobConfig)


def describe_machine(packages: Iterable[str], spark: SparkSession | None = None) -> str:
    """The machine, its load now, and the versions of what is installed of `packages`; with a session, Java's too."""
    processors = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    versions = [f"Python {platform.python_version()}"]
    if spark is not None:
        versions.append(f"Java {spark._jvm.java.lang.System.getProperty('java.version')}")
    for name in packages:
        with suppress(metadata.PackageNotFoundError):
            versions.append(f"{name} {metadata.version(name)}")
    return (
        f"{os.cpu_count()} x {processors[0].partition(':')[2].strip()}, {memory:.0f} GiB, load {os.getloadavg()[0]:.1f}"
        f" at first; {', '.join(versions)}"
    )


def print_table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Prints a table in Markdown, each row as it comes."""
    for row in itertools.chain([names, ["---"] * len(names)], rows):
        print("| " + " | ".join(row) + " |", flush=True)
    print(flush=True)


# ---------------------------------------------------------------- runs, jobs and tables


def new_run(lake: Lake, name: str) -> Run:
    """A run that leaves no task."""
    return Run(lake, name, name, name, name, datetime.now(UTC), False, Progress("bench"))


def time_job(job: Callable[[Run, Config], object], config: Config, *, create: LakeSettings | None = None) -> float:
    """Runs a job in this process as its command does, task and lineage included; the seconds."""
    start = time.perf_counter()
    with run_job(config, job="bench", task_type="Bench", create=create) as run:
        job(run, config)
    return time.perf_counter() - start


def put_frame(run: Run, contract: Contract, rows: DataFrame, *, compare: Sequence[str] = ()) -> None:
    """Commits rows that are new, or differ in columns of `compare`; columns that they lack are null."""
    lacking = {c.name: F.lit(None).cast(c.dataType) for c in spark_schema(contract) if c.name not in rows.columns}
    step = Step.pin(run.lake, contract, run.run_id)
    put_rows(step, rows.withColumns(lacking).select(*contract.names), step.current(), compare=compare)


def read_tables(lake: Path, statement: str, *names: str) -> pa.Table:
    """What a statement selects from tables of a lake, without Spark. Text is plain text, which all of Arrow takes."""
    found = select(statement, {name: DeltaTable(str(lake / name)) for name in names}).read_all()
    plain = [field.with_type(pa.string()) if pa.types.is_string_view(field.type) else field for field in found.schema]
    return found.cast(pa.schema(plain))


# ---------------------------------------------------------------- seconds and memory


@contextmanager
def clock(what: str, times: dict[str, float]) -> Iterator[None]:
    """Times what is inside."""
    start = time.perf_counter()
    yield
    times[what] = time.perf_counter() - start
    print_seconds(what, times[what])


def print_seconds(what: str, seconds: float) -> None:
    """Prints how long something took."""
    print(f"  {what:<44} {seconds:9.2f} s", flush=True)


def growth_exponent(small: float, fast: float, large: float, slow: float) -> float:
    """The power of the size with which the seconds grow, from `fast` for `small` to `slow` for `large`."""
    return math.log(slow / fast) / math.log(large / small)


def print_growth(what: str, seconds: dict[int, float]) -> None:
    """Prints the growth exponent from each size to the next."""
    for (small, fast), (large, slow) in itertools.pairwise(sorted(seconds.items())):
        exponent = growth_exponent(small, fast, large, slow)
        print(f"growth exponent of {what} from {small:,} to {large:,}: {exponent:.2f}", flush=True)


@contextmanager
def sampled_workers() -> Iterator[list[int]]:
    """Inside, a thread adds the memory of Spark's Python workers to the list, over and over; at the end once more."""
    samples: list[int] = []
    with sampling(lambda: samples.append(workers_bytes()), SAMPLE_SECONDS):
        yield samples


class ProcessCost(NamedTuple):
    """What a process is called, and the CPU seconds that it took."""

    name: str
    cpu_seconds: float


@contextmanager
def sampled_cpu(every: float = SAMPLE_SECONDS) -> Iterator[dict[Path, ProcessCost]]:
    """Inside, a thread notes what each process below this one costs, a JVM that nobody waits for, too."""
    costs: dict[Path, ProcessCost] = {}

    def sample() -> None:
        for process in process_tree(Path(f"/proc/{os.getpid()}")):
            with suppress(OSError):  # it has ended
                name, _, numbers = (process / "stat").read_text().rpartition(")")
                fields = numbers.split()
                ticks = int(fields[11]) + int(fields[12])
                costs[process] = ProcessCost(name.partition("(")[2], ticks / os.sysconf("SC_CLK_TCK"))

    with sampling(sample, every):
        yield costs


@contextmanager
def sampling(sample: Callable[[], None], every: float) -> Iterator[None]:
    """Inside, a thread samples over and over; at the end it is done once more."""
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(every):
            sample()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        sample()


def workers_bytes() -> int:
    """Memory of this process's Python workers together, idle ones too. What they share counts once, where the system
    tells."""
    total = 0
    for process in process_tree(Path(f"/proc/{os.getpid()}")):
        with suppress(OSError):  # it has ended
            command = (process / "cmdline").read_bytes()
            if any(name in command for name in (b"worker_daemon", b"pyspark.daemon", b"pyspark/worker")):
                total += process_bytes(process)
    return total


def process_tree(process: Path) -> Iterator[Path]:
    """The processes below one, as folders of /proc."""
    for thread in process.glob("task/*/children"):
        with suppress(OSError):
            for child in map(Path("/proc").joinpath, thread.read_text().split()):
                yield child
                yield from process_tree(child)


def process_bytes(process: Path) -> int:
    """The proportional set size of a process; its resident set size where that cannot be read."""
    try:
        name, text = "Pss:", (process / "smaps_rollup").read_text()
    except PermissionError:
        name, text = "VmRSS:", (process / "status").read_text()
    return sum(1024 * int(line.split()[1]) for line in text.splitlines() if line.startswith(name))


def peak_bytes() -> int:
    """The most memory that this process has had resident. Not getrusage's, which begins with the parent's."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM:"))


# ---------------------------------------------------------------- scores of groups


@dataclass(frozen=True)
class Score:
    """How well groups that were found agree with the true ones: shares from 0 to 1."""

    precision: float
    recall: float

    @property
    def f(self) -> float:
        """The harmonic mean of both."""
        return 2 * self.precision * self.recall / max(self.precision + self.recall, 1e-12)


def classes(labels: pa.Array | pa.ChunkedArray) -> Classes:
    """The class of each row as a number from 0: rows of one label share one, each row without a label has its own."""
    codes = pa.chunked_array([labels] if isinstance(labels, pa.Array) else labels.chunks, labels.type)
    codes = codes.combine_chunks().dictionary_encode()
    alone = codes.indices.is_null().to_numpy(zero_copy_only=False)
    found = codes.indices.fill_null(0).to_numpy().astype(np.int64)
    found[alone] = len(codes.dictionary) + np.arange(np.count_nonzero(alone))
    return found


def bcubed(found: Classes, true: Classes, of: Bools | None = None) -> Score:
    """BCubed precision and recall (Bagga and Baldwin, 1998): of a row's group, the mean share that is right.

    The mean of all rows, or of some of them, whose groups are those among all.
    """
    many = true.max(initial=0) + 1
    _, at, both = np.unique(found * many + true, return_inverse=True, return_counts=True)
    right = both[at]
    shares = right / np.bincount(found)[found], right / np.bincount(true)[true]
    return Score(*(float(share[of if of is not None else slice(None)].mean()) for share in shares))


def pairwise(found: Classes, true: Classes) -> Score:
    """Precision and recall of the pairs of rows that are in one group."""
    _, both = np.unique(found * (true.max(initial=0) + 1) + true, return_counts=True)
    hits = _pairs(both)
    return Score(*(hits / pairs if (pairs := _pairs(np.bincount(side))) else 1.0 for side in (found, true)))


def _pairs(sizes: Classes) -> float:
    return float((sizes * (sizes - 1)).sum()) / 2
