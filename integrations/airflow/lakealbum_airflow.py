"""LakeAlbum's verbs as tasks of Airflow 3. Of LakeAlbum it needs the command alone, which has its own environment."""

from __future__ import annotations

import ctypes
import json
import logging
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from airflow.sdk import Asset, AssetAlias, BaseOperator, Context
from airflow.sdk.exceptions import AirflowException, AirflowFailException

BAD_USAGE = 2
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1  # prctl(2)


def table_asset(lake: str, table: str) -> Asset:
    """A table of a lake: what a DAG is scheduled on, and what events are about."""
    root = lake.rstrip("/") if "://" in lake else Path(lake).absolute().as_uri()
    return Asset(f"{root}/{table}")


class LakeAlbumOperator(BaseOperator):
    """Runs a verb of LakeAlbum. The task's result is the JSON document that the verb prints.

    arguments: the verb and its options, as one text or a list (`"cluster figures --set driver_rows=0"`).
    lake, project, datasets: `--lake`, `--project` and a `--dataset` each; without datasets, all of the project.
    executable: the command, `lakealbum` on PATH or a launcher's path. env: variables over those of the worker.
    grace: seconds that a job has to write down that it was cancelled, before it is killed.

    Each try is a run of its own: `<dag>.<task>.<id of the task instance>`. Exit code 2, bad usage, is not tried again.
    A success tells of the tables whose rows changed, as assets (`table_asset`), by an alias that is named as the lake.
    A later try tells of the tables that it read, too: an earlier one may have changed them before it was killed.
    """

    template_fields: Sequence[str] = ("arguments", "lake", "project", "datasets", "executable", "env")

    def __init__(
        self,
        *,
        arguments: str | Sequence[str],
        lake: str,
        project: str | None = None,
        datasets: Sequence[str] = (),
        executable: str = "lakealbum",
        env: Mapping[str, str] | None = None,
        grace: float = 20.0,
        **kwargs: Any,
    ) -> None:
        self.alias = AssetAlias(lake)
        super().__init__(**{**kwargs, "outlets": [*(kwargs.get("outlets") or ()), self.alias]})
        self.arguments, self.lake, self.project, self.datasets = arguments, lake, project, datasets
        self.executable, self.env, self.grace = executable, env, grace
        self._process: subprocess.Popen[str] | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Runs the verb, and returns what it prints."""
        words = shlex.split(self.arguments) if isinstance(self.arguments, str) else [*map(str, self.arguments)]
        words = [self.executable, *words, "--lake", self.lake, "--json"]
        words += ["--project", self.project] if self.project else []
        words += [word for name in self.datasets for word in ("--dataset", name)]
        environment = {**os.environ, **self._told(context), **(self.env or {})}
        self.log.info("%s", shlex.join(words))
        with tempfile.TemporaryFile("w+", encoding="utf-8") as printed:
            # In a group of its own, so that all of it can be ended, the JVM too.
            self._process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=printed, stderr=subprocess.PIPE, text=True, errors="replace",
                env=environment, start_new_session=True, preexec_fn=_end_with_parent if _LIBC else None,
            )  # fmt: skip
            last = self._log_lines(self._process)
            code = self._process.wait()
            printed.seek(0)
            result = printed.read().strip()
        if code:
            failure = AirflowFailException if code == BAD_USAGE else AirflowException
            raise failure(f"{shlex.join(words)} ended with exit code {code}: {last}")
        found: dict[str, Any] = json.loads(result)
        self._tell_assets(context, found)
        return found

    def on_kill(self) -> None:
        """Ends the job and all it started: it has `grace` seconds to write down that it was cancelled."""
        process, asked = self._process, time.monotonic()
        if process is None or process.returncode is not None:
            return
        _signal_group(process, signal.SIGTERM)
        while process.poll() is None and time.monotonic() < asked + self.grace:
            time.sleep(0.1)
        _signal_group(process, signal.SIGKILL)

    def _told(self, context: Context) -> dict[str, str]:
        """What the job is told by variables: its run's id, and whose child it is in lineage."""
        ti = context["ti"]
        name = f"{ti.dag_id}.{ti.task_id}"
        prefix = re.sub(r"[^A-Za-z0-9_.:-]", "_", name)[: 128 - 1 - 36]  # what an id of a run may be, with a UUID
        told = {"LAKEALBUM_RUN_ID": f"{prefix}.{ti.id}", "LAKEALBUM_LOG": "json"}
        if plugin := getattr(context["macros"], "OpenLineageProviderPlugin", None):  # Airflow's OpenLineage provider
            parents = {"": plugin.lineage_parent_id(ti), "ROOT_": plugin.lineage_root_parent_id(ti)}
        else:
            parents = {"": f"{os.environ.get('OPENLINEAGE_NAMESPACE', 'default')}/{name}/{ti.id}"}
        return told | {f"OPENLINEAGE_{which}PARENT_ID": parent for which, parent in parents.items()}

    def _log_lines(self, process: subprocess.Popen[str]) -> str:
        """Writes the job's log into the task's, at its levels. Returns what it said at last that is for people."""
        assert process.stderr is not None
        said: list[str] = []
        with process.stderr as lines:
            for line in lines:
                try:
                    fields = json.loads(line)
                    level, event = getattr(logging, fields.pop("level").upper()), fields.pop("event")
                except (ValueError, AttributeError, KeyError, TypeError):  # a line of another log, or for people
                    self.log.info("%s", line.rstrip())
                    said.append(line.strip())
                else:
                    told = (f"{key}={value}" for key, value in fields.items() if key != "time")
                    self.log.log(level, "%s", " ".join([event, *told]))
                    said.clear()
        return "; ".join(said[-10:]) or "it said nothing"

    def _tell_assets(self, context: Context, result: Mapping[str, Any]) -> None:
        told = {} if context["ti"].try_number == 1 else {**(result.get("Inputs") or {})}
        told |= result.get("Outputs") or {}
        for table, version in told.items():
            counts = result["RowCounts"].items()
            rows = {stage.removeprefix(f"{table}."): n for stage, n in counts if stage.startswith(f"{table}.")}
            extra = {"run_id": result["RunId"], "version": version, "rows": rows, "datasets": [*self.datasets]}
            context["outlet_events"][self.alias].add(table_asset(self.lake, table), extra=extra)


def _signal_group(process: subprocess.Popen[str], number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)  # it leads a group of its own
    except ProcessLookupError:
        return  # all of it has ended


def _end_with_parent() -> None:
    """SIGTERM to the job where the task's own process is killed: no job works on for a task that is over."""
    assert _LIBC is not None
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
