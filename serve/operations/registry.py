"""The operations: each a function `(context, params) -> fields of the answer`, registered by IMM's name.

With it goes what the door checks before the function is called: the parameters, the RAM action and resource, and that
project and dataset are there. `RequestId` is added to every answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from catalog.bindings import list_bindings
from catalog.lake import Lake, Row, Scope
from catalog.projects import Namespaces
from catalog.requests import Piece
from serve.operations.parameters import DATASET, PROJECT, Parameter

if TYPE_CHECKING:
    from serve.queue import Queue

Params = dict[str, Any]
Fields = dict[str, Any]
Level = Literal["project", "dataset", "projects", "datasets", "bindings"]
"""What the RAM resource of an operation is: one project, one dataset, all projects, all datasets of a project, or one
dataset where it is named and else all of them."""


@dataclass(frozen=True)
class Context:
    """What an operation has at hand: the lake, who asks and when, and the queue that work is put into.

    `project` and `dataset` are those of the parameters: they exist, but for an operation that makes them.
    """

    lake: Lake
    namespaces: Namespaces
    queue: Queue
    now: datetime
    request_id: str
    owner: str
    project: str = ""
    dataset: str = ""
    durable: list[Future[None]] = field(default_factory=list)
    """What must be on disk before the caller is told: `accept` adds to it."""

    @property
    def scope(self) -> Scope:
        """The project and, where one is named, the dataset."""
        return Scope(self.project, (self.dataset,) if self.dataset else ())

    def accept(self, pieces: Sequence[Piece], task: Row | None = None) -> None:
        """Takes work in, with its task if it has one. The caller is told once it is durable."""
        self.durable.append(self.queue.put(pieces, task))

    def count_bindings(self) -> int:
        """How many sources are bound to the dataset."""
        return len(list_bindings(self.lake, self.scope))

    @property
    def language(self) -> str:
        """The language of the lake's addresses."""
        return self.lake.settings.language


Function = Callable[[Context, Params], Fields]


@dataclass(frozen=True)
class Operation:
    """One operation: its function and what is checked before it is called.

    `need_not_exist`: the project, or the dataset of an existing project, need not be there. `by_get` says whether
    GET is accepted beside POST. `light` says that the function only puts work into the queue. `differs` says in what
    it falls short of IMM's, for docs/endpoint.md.
    """

    name: str
    function: Function
    level: Level
    parameters: tuple[Parameter, ...]
    need_not_exist: bool = False
    by_get: bool = True
    light: bool = False
    differs: str = ""

    @property
    def action(self) -> str:
        """The action that a RAM policy allows or denies."""
        return f"imm:{self.name}"

    def resource(self, params: Mapping[str, Any], owner: str) -> str:
        """The resource that a RAM policy is asked about; the region stays open."""
        path = {
            "projects": "project/*",
            "project": "project/{ProjectName}",
            "dataset": "project/{ProjectName}/dataset/{DatasetName}",
            "datasets": "project/{ProjectName}/dataset/*",
            "bindings": "project/{ProjectName}/dataset/{DatasetName}",
        }[self.level]
        return f"acs:imm:*:{owner}:" + path.format_map({"DatasetName": "*", **params})


OPERATIONS: dict[str, Operation] = {}
"""The operations by name. serve.operations fills it."""


def operation(
    name: str,
    level: Level,
    *parameters: Parameter,
    need_not_exist: bool = False,
    by_get: bool = True,
    light: bool = False,
    differs: str = "",
) -> Callable[[Function], Function]:
    """Registers a function as an operation. ProjectName and DatasetName are taken as `level` says."""
    names: dict[Level, tuple[Parameter, ...]] = {
        "projects": (),
        "project": (PROJECT,),
        "dataset": (PROJECT, DATASET),
        "datasets": (PROJECT,),
        "bindings": (PROJECT, Parameter(DATASET.name, DATASET.parse)),
    }

    def register(function: Function) -> Function:
        assert name not in OPERATIONS, name
        spec = (*names[level], *parameters)
        OPERATIONS[name] = Operation(name, function, level, spec, need_not_exist, by_get, light, differs)
        return function

    return register
