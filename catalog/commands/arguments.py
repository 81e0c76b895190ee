"""What is typed after options, read and checked."""

from __future__ import annotations

from typing import Any

import click

from catalog.clusters import is_known
from catalog.lake import Lake, Scope
from catalog.paging import check_among
from schemas.cluster_kinds import GROUPS, PEOPLE, TRIPS, is_uuid
from schemas.errors import UsageError


def any_id(lake: Lake, scope: Scope, text: str) -> str:
    """The id of a cluster of any kind; of a bare UUID that of the cluster that has it, else that of a trip."""
    kinds = (TRIPS, GROUPS, PEOPLE)
    for kind in kinds:
        if text.startswith(kind.prefix):
            return kind.full_id(text)
    if not is_uuid(text):
        accepted = " or ".join(f"{kind.prefix}<uuid>" for kind in kinds)
        raise UsageError(f"{text!r} is not the id of a cluster, which reads {accepted}")
    return next(
        (full for kind in kinds if is_known(lake, kind, scope, full := kind.full_id(text))), TRIPS.full_id(text)
    )


def listed(given: tuple[str, ...]) -> tuple[str, ...]:
    """Names given one by one or with commas between, in any case."""
    return tuple(name.strip().lower() for text in given for name in text.split(","))


def sort_key(given: str, accepted: dict[str, str]) -> str:
    """A sort key in any case, with or without hyphens; what a kind's keys have in common may be left out."""
    short = {name.removeprefix("LocationDateCluster").removesuffix("Count").lower(): name for name in accepted}
    full = {name.lower(): name for name in accepted}
    name = (short | full).get(given.lower().replace("-", ""), given)
    check_among("sort", [name], accepted)
    return name


def pairs(option: str, given: tuple[str, ...]) -> dict[str, str]:
    """KEY=VALUE texts of a repeatable option, as a dict. Raises UsageError for other texts, and a key given twice."""
    found: dict[str, str] = {}
    for text in given:
        key, separator, value = text.partition("=")
        if not key or not separator:
            raise UsageError(f"{option} {text!r} is not KEY=VALUE")
        if key in found:
            raise UsageError(f"{option} names {key!r} twice")
        found[key] = value
    return found


def given_fields(given: dict[str, Any], label: tuple[str, ...], clear_labels: bool) -> dict[str, Any]:
    """The columns of `cluster_edits` that an update gives values."""
    if label and clear_labels:
        raise UsageError("--label and --clear-labels exclude each other: --label replaces all labels anyway")
    fields = {name: value for name, value in given.items() if value is not None}
    if label or clear_labels:
        fields["custom_labels"] = pairs("--label", label)
    return fields


def refuse_with(option: str, others: tuple[str, ...]) -> None:
    """Raises UsageError where options were given that say nothing together with another one."""
    options = {parameter.name: flag_of(parameter) for parameter in click.get_current_context().command.params}
    given = [options[name] for name in others if is_typed(name)]
    if given:
        raise UsageError(f"{', '.join(given)} cannot be given together with {option}")


def flag_of(parameter: click.Parameter) -> str:
    """The longest name of an option."""
    return max(parameter.opts, key=len)


def is_typed(name: str) -> bool:
    """Whether an option was given on the command line, and has not its default."""
    return click.get_current_context().get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
