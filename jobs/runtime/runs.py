"""A run of a job: its task, its heartbeat, its progress, its log, and the lineage row that it leaves."""

from __future__ import annotations

import getpass
import hashlib
import json
import logging
import os
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from catalog.commands.output import print_document
from catalog.lake import Lake as CatalogLake
from catalog.notifications import notifying
from catalog.tasks import append_task_state, put_run, refuse_repeated_run
from jobs.cli.options import JobConfig
from jobs.runtime.by_bucket import ByBucket, Rows, count
from jobs.runtime.cancellation import Cancellation
from jobs.runtime.commits import Ledger
from jobs.runtime.failures import as_ours, reason_of
from jobs.runtime.lake import Lake
from jobs.runtime.lineage.reporting import Reporter
from jobs.runtime.lineage.states import RunState
from jobs.runtime.progress import Progress, configure_logging
from jobs.runtime.session import is_driver_on_yarn, keep, open_session
from jobs.runtime.stores import check_spark_reaches, needs_s3
from schemas.errors import Cancelled, LakeAlbumError
from schemas.locations import redact
from schemas.settings import LakeSettings
from schemas.version import full_version
from transforms.tables.keyed import with_columns

HEARTBEAT_SECONDS = 30.0
BROADCAST_ROWS = 1_000_000
"""Keys up to this many (some 100 MB) are sent to every worker; more are joined by shuffling both sides."""
AIRFLOW = "AIRFLOW_CTX_"
"""How variables begin that Airflow tells its tasks who they are by."""
AnyRows = TypeVar("AnyRows", pa.Table, DataFrame, Rows)
log = logging.getLogger("lakealbum")


@dataclass
class Run:
    """A run under way. `now` is the one clock reading that all its rows carry."""

    lake: Lake
    run_id: str
    task_id: str
    event_id: str
    request_id: str
    now: datetime
    dry_run: bool
    progress: Progress
    ledger: Ledger = field(default_factory=Ledger)
    lineage: Reporter = field(default_factory=Reporter)

    def clock(self) -> Column:
        """The run's time, as a column."""
        return F.lit(self.now)

    def stamp(self, rows: AnyRows) -> AnyRows:
        """Adds the run's id to computed rows."""
        if isinstance(rows, DataFrame):
            return rows.withColumn("run_id", F.lit(self.run_id))
        if isinstance(rows, ByBucket):
            return rows.with_columns({"run_id": pa.scalar(self.run_id)})
        return with_columns(rows, {"run_id": pa.scalar(self.run_id)})

    def cache(self, rows: AnyRows) -> AnyRows:
        """Computes `rows` of Spark now and keeps them as long as they are referred to (jobs.runtime.session.keep)."""
        return keep(rows) if isinstance(rows, DataFrame) else rows

    def log_round(self, what: str, number: int, rows: int) -> None:
        """Logs a round of something that goes on until no rows are left."""
        log.info("%s: round", what, extra={"round": number, "rows": rows})

    def told(self) -> dict[str, dict[str, int]]:
        """What JSON tells of it: tables read and written, each with its version, and rows per stage.

        Outputs have the tables alone in which rows changed.
        """
        return {"Inputs": self.ledger.inputs, "Outputs": self.ledger.outputs, "RowCounts": self.ledger.row_counts}

    def cache_keys(self, keys: DataFrame, stage: str) -> DataFrame:
        """Keeps `keys`, counts them as `stage`, and marks them to be sent to every worker where they are few."""
        keys = self.cache(keys)
        number = keys.count()
        self.ledger.count(stage, number)
        return F.broadcast(keys) if number <= BROADCAST_ROWS else keys

    def count_keys(self, keys: Rows, stage: str) -> Rows:
        """Counts `keys` as `stage`: computed now, and here where they are few enough."""
        if isinstance(keys, ByBucket):
            keys = keys if (few := keys.few(self.lake.driver_rows)) is None else few
        keys = self.cache(keys)
        self.ledger.count(stage, count(keys))
        return keys


def airflow_tags(environment: Mapping[str, str]) -> dict[str, str]:
    """Tags that tell which task of Airflow a run is of, from the variables that Airflow gives to its tasks.

    People's addresses (AIRFLOW_CTX_DAG_EMAIL) stay out of the lake.

    >>> airflow_tags({"AIRFLOW_CTX_DAG_ID": "nightly", "AIRFLOW_CTX_DAG_EMAIL": "a@b.c", "HOME": "/root"})
    {'airflow.dag_id': 'nightly'}
    """
    told = {name.removeprefix(AIRFLOW).lower(): text for name, text in environment.items() if name.startswith(AIRFLOW)}
    return {f"airflow.{name}": text for name, text in sorted(told.items()) if text and name != "dag_email"}


def user_name() -> str:
    """Who starts runs here: LAKEALBUM_USER, else the name of the account, else its number."""
    if named := os.environ.get("LAKEALBUM_USER"):
        return named
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as containers have it
        return f"uid {os.getuid()}"


@contextmanager
def run_job(
    config: JobConfig,
    *,
    job: str,
    task_type: str,
    task_name: str | None = None,
    create: LakeSettings | None = None,
    geometry: bool = False,
    asked: Mapping[str, object] | None = None,
) -> Iterator[Run]:
    """Opens the lake, and keeps the run's task and lineage row in step with what happens inside.

    `task_name` is what the task's id begins with, where that is not its type. `asked` are columns of the task of a
    request that was accepted before (serve.worker): its ids and when it was asked.

    A failure is written to both, with the kind of error and its innermost cause, and raised again, what a worker raised
    as the error that it was; SIGTERM and SIGINT are one (Cancelled). The id of a run that ended, or is under way, is
    refused. A dry run leaves neither. Progress and heartbeats are written by a thread of their own, every 30 seconds.
    """
    configure_logging()
    run_id = config.run_id or str(uuid.uuid4())
    now = datetime.now(UTC)
    task = {
        "task_id": f"{task_name or task_type}-{uuid.uuid4()}",
        "task_type": task_type,
        "project_name": config.project,
        "dataset_names": list(config.dataset),
        "event_id": str(uuid.uuid4()),
        "request_id": str(uuid.uuid4()),
        "run_id": run_id,
        "status": "Running",
        "progress": 0,
        "code": None,
        "message": None,
        "tags": {**airflow_tags(os.environ), **config.tag},
        "user_data": config.user_data,
        "start_time": now,
        "end_time": None,
        **(asked or {}),
    }
    with Progress(job) as progress, Cancellation() as cancellation:

        def start_spark() -> SparkSession:
            progress.stage("starting Spark", progress.percent)
            s3 = needs_s3([config.lake, *getattr(config, "source", ())])
            session = open_session(f"lakealbum {job}", geometry=geometry, s3=s3)
            cancellation.listen()
            check_spark_reaches(config.lake)
            return session

        create = None if config.dry_run else create
        limits = {"driver_rows": config.driver_rows, "bucket_rows": config.bucket_rows}
        lake = Lake.open(config.lake, start_spark=start_spark, create=create, **limits)
        task_id, event_id, request_id = (str(task[name]) for name in ("task_id", "event_id", "request_id"))
        run = Run(lake, run_id, task_id, event_id, request_id, now, config.dry_run, progress)
        if config.dry_run:
            cancellation.begin()
            yield run
            return
        if config.run_id:
            refuse_repeated_run(CatalogLake(config.lake), config.run_id)
        record = _Record(config, job, task, run)
        run.lineage = Reporter(lake.root)
        record.write("Running")
        log.info("started", extra={"job": job, "run_id": run_id, "task_id": task["task_id"], "lake": config.lake})
        with closing(run.lineage), notifying(config.lake, task, config.notify), record.heartbeat():
            try:
                cancellation.begin()
                if is_driver_on_yarn():
                    _ = lake.spark
                yield run
            except BaseException as error:
                cancellation.end()
                cause = Cancelled(cancellation.came) if cancellation.came else as_ours(error) or error
                code = cause.code if isinstance(cause, LakeAlbumError | Cancelled) else type(cause).__name__
                reason = reason_of(cause)
                record.write("Failed", code=code, message=reason)
                log.error("failed", extra={"job": job, "run_id": run_id, "code": code, "reason": reason})
                if cause is error:
                    raise
                raise cause from error
            cancellation.end()
            record.write("Succeeded")
            log.info("succeeded", extra={"job": job, "run_id": run_id, **run.ledger.row_counts})


class _Record:
    """Writes the run's task states and its lineage row."""

    def __init__(self, config: JobConfig, job: str, task: dict[str, object], run: Run) -> None:
        self.config, self.job, self.task, self.run = config, job, task, run
        self.parameters = redact(json.dumps(config.model_dump(mode="json"), sort_keys=True))
        self.lock = threading.Lock()
        self.done = False

    def write(self, status: str, *, code: str | None = None, message: str | None = None) -> None:
        """Writes the task's state; for a start or an end the run's row too."""
        with self.lock:
            if self.done:
                return
            self.done = status != "Running"
            self._append_task(status, code, message)
            row = self._run_row(status, message)
            put_run(self.config.lake, row)
            self.run.lineage.tell(RunState(row, self.task, self.run.ledger.sources, code))

    def _append_task(self, status: str, code: str | None = None, message: str | None = None) -> None:
        now = datetime.now(UTC)
        percent = 100 if status == "Succeeded" else self.run.progress.percent
        ended = now if status != "Running" else None
        state = {"status": status, "progress": percent, "code": code, "message": message, "end_time": ended}
        append_task_state(self.config.lake, {**self.task, **state, "update_time": now})

    def _run_row(self, status: str, message: str | None) -> dict[str, object]:
        ledger = self.run.ledger
        return {
            "run_id": self.run.run_id,
            "task_id": self.run.task_id,
            "job": self.job,
            "project_name": self.config.project,
            "parameters": self.parameters,
            "started_by": user_name(),
            "config_hash": hashlib.sha256(self.parameters.encode()).hexdigest(),
            "code_version": full_version(),
            "inputs": dict(ledger.inputs),
            "outputs": dict(ledger.outputs),
            "row_counts": dict(ledger.row_counts),
            "start_time": self.run.now,
            "end_time": datetime.now(UTC) if status != "Running" else None,
            "status": status,
            "message": message,
        }

    @contextmanager
    def heartbeat(self) -> Iterator[None]:
        """While inside, a thread repeats the task's state, so that a killed run shows as one."""
        stop = threading.Event()

        def beat() -> None:
            while not stop.wait(HEARTBEAT_SECONDS):
                with self.lock:
                    if not self.done:
                        self._append_task("Running")

        thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def print_result(run: Run, *, as_json: bool, **more: object) -> None:
    """Prints on stdout what a job did: its task, and its rows per stage."""
    ids = {"TaskId": run.task_id, "EventId": run.event_id, "RequestId": run.request_id, "RunId": run.run_id}
    if as_json:
        print_document({**ids, **more, **run.told()})
        return
    for key, value in {**ids, **more}.items():
        print(f"{key}: {value}")
    for stage, rows in run.ledger.row_counts.items():
        example = run.ledger.examples.get(stage)
        print(f"  {stage:<40} {rows:>12,}" + (f"  {example}" if example else ""))
