"""Tasks, as their callers poll them, and runs, the lineage that stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta

from catalog.commits import append, replace
from catalog.lake import Lake, Row
from catalog.paging import Order, Page, Pager, Sorting, check_among, check_max_results
from catalog.sql import all_of, equals, literal, one_of
from catalog.times import ANY_TIME, TimeRange, utc
from schemas.errors import Conflict, NotFound, UsageError
from schemas.lake import check_name
from schemas.runs import RUNS
from schemas.tasks import TASKS

STALE_AFTER = timedelta(minutes=5)
STATUSES = ("Running", "Succeeded", "Failed")
SORTS = {"TaskId": "task_id", "StartTime": "start_time", "EndTime": "sort_end_time"}

_NEVER = datetime(9999, 12, 31, tzinfo=UTC)  # where a task that still runs stands among end times


@dataclass(frozen=True)
class TaskQuery:
    """What tasks are asked for, in which order, and how many a page. What is left out does not matter."""

    project: str
    task_types: tuple[str, ...] = ()
    status: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    started: TimeRange = ANY_TIME
    ended: TimeRange = ANY_TIME
    sort: str = "TaskId"
    order: Order = "asc"
    max_results: int = 100

    def __post_init__(self) -> None:
        """Raises UsageError naming what is accepted."""
        check_name("project", self.project)
        check_max_results(self.max_results)
        check_among("status", [self.status or "Running"], STATUSES)
        check_among("sort", [self.sort], SORTS)
        check_among("order", [self.order], ("asc", "desc"))

    def condition(self) -> str:
        """The tasks that fit by their state as shown, in SQL."""
        conditions = [self.started.condition("start_time"), self.ended.condition("end_time")]
        if self.task_types:
            conditions.append(one_of("task_type", self.task_types))
        if self.status is not None:
            conditions.append(equals("status", self.status))
        conditions += [equals(f"tags[{literal(key)}]", value) for key, value in self.tags.items()]
        return all_of(conditions)


def get_task(lake: Lake, task_id: str, now: datetime | None = None) -> Row:
    """The state of a task: the columns of `tasks`. Raises NotFound where the lake has none of that id."""
    rows = lake.read(f"SELECT * FROM ({_states(equals('task_id', task_id), now)})", "tasks")
    if not rows:
        raise NotFound(f"there is no task {task_id!r}; `lakealbum tasks list` shows those kept ({TASKS.retention})")
    return rows[0]


def list_tasks(lake: Lake, query: TaskQuery, next_token: str | None = None, now: datetime | None = None) -> Page:
    """A page of the tasks that fit, each in its last state. Rows have the columns of `tasks`."""
    asked = asdict(query)
    del asked["max_results"]
    sorting = Sorting(SORTS[query.sort], "task_id", query.order)
    pager = Pager(lake.token_key, {"kind": "tasks", **asked}, sorting, query.max_results)
    condition = all_of([query.condition(), sorting.after(pager.position(next_token))])
    states = _states(equals("project_name", query.project), now)
    statement = f"SELECT * FROM ({states}) WHERE {condition} {sorting.clause} LIMIT {query.max_results + 1}"
    return pager.page(lake.read(statement, "tasks"))


def append_task_state(root: str, row: Row) -> None:
    """Records a state of a task: a row of `tasks`. The one of the greatest update_time is in force."""
    append(root, TASKS, [row])


def beat_tasks(lake: Lake, task_ids: Sequence[str], now: datetime) -> None:
    """Repeats the state of tasks that run, or wait for their turn: a sign of life."""
    if not task_ids:
        return
    newest = "row_number() OVER (PARTITION BY task_id ORDER BY update_time DESC, status = 'Running') AS age"
    rows = lake.read(
        f"SELECT {', '.join(TASKS.names)} FROM (SELECT *, {newest} FROM tasks WHERE {one_of('task_id', task_ids)}) "
        "WHERE age = 1 AND status = 'Running'",
        "tasks",
    )
    if rows:
        append(lake.root, TASKS, [{**row, "update_time": now} for row in rows])


def put_run(root: str, row: Row) -> None:
    """Records a run, in place of what was recorded of it: a row of `runs`."""
    replace(root, RUNS, [row])


def refuse_repeated_run(lake: Lake, run_id: str, now: datetime | None = None) -> None:
    """Raises where a run has this id that ended (UsageError) or is under way (Conflict); its row would be lost.

    A run that was killed may be run again under its id, once its task is not heard of any more.
    """
    rows = lake.read(f"SELECT task_id, status, end_time FROM runs WHERE {equals('run_id', run_id)}", RUNS.name)
    for row in rows:
        if row["status"] != "Running":
            raise UsageError(
                f"--run-id {run_id!r} is that of a run that ended {row['status']} at {utc(row['end_time'])}: "
                "each run has an id of its own, each try of a task, too"
            )
        where = f"task_id = {literal(row['task_id'])} AND status = 'Running'"
        if lake.read(f"SELECT task_id FROM ({_states(equals('task_id', row['task_id']), now)}) WHERE {where}", "tasks"):
            minutes = STALE_AFTER // timedelta(minutes=1)
            raise Conflict(
                f"--run-id {run_id!r} is that of a run that is under way, or was killed in the last {minutes} minutes: "
                "give another, or wait"
            )


def _states(condition: str, now: datetime | None) -> str:
    """The last state of each task that satisfies a condition, a lost one as Failed, in SQL.

    Of two states of one instant, that of a task that ended is the later, then that of more progress.
    """
    silent_since = literal((now or datetime.now(UTC)) - STALE_AFTER)
    lost = f"(status = 'Running' AND update_time < {silent_since})"
    minutes = STALE_AFTER // timedelta(minutes=1)
    message = literal(f"no sign of life for {minutes} minutes: it was killed, or its machine lost; run it again")
    shown = {
        "status": f"CASE WHEN {lost} THEN 'Failed' ELSE status END AS status",
        "code": f"CASE WHEN {lost} THEN 'Lost' ELSE code END AS code",
        "message": f"CASE WHEN {lost} THEN {message} ELSE message END AS message",
        "end_time": f"CASE WHEN {lost} THEN update_time ELSE end_time END AS end_time",
    }
    columns = ", ".join(shown.get(name, name) for name in TASKS.names)
    newest = (
        "SELECT *, row_number() OVER (PARTITION BY task_id "
        "ORDER BY update_time DESC, status = 'Running', progress DESC) AS age "
        f"FROM tasks WHERE {condition}"
    )
    last = f"SELECT {columns} FROM ({newest}) WHERE age = 1"
    return f"SELECT *, coalesce(end_time, {literal(_NEVER)}) AS sort_end_time FROM ({last})"
