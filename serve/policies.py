"""RAM policies, version 1: what an access key may do (imm-wire, section 11)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from schemas.errors import UsageError

Verdict = Literal["Allow", "ImplicitDeny", "ExplicitDeny"]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class Circumstances:
    """What conditions are about: where a request came from, by which transport, and when."""

    source: Address | None
    secure: bool
    now: datetime


Condition = Callable[[Circumstances], bool]


@dataclass(frozen=True)
class Statement:
    """One statement of a policy."""

    allows: bool
    actions: tuple[re.Pattern[str], ...]
    inverted: bool
    resources: tuple[re.Pattern[str], ...]
    conditions: tuple[Condition, ...]

    def covers(self, action: str, resource: str, about: Circumstances) -> bool:
        """Whether it speaks of this action on this resource."""
        named = any(pattern.fullmatch(action) for pattern in self.actions)
        return (
            named is not self.inverted
            and any(pattern.fullmatch(resource) for pattern in self.resources)
            and all(condition(about) for condition in self.conditions)
        )


def judge(statements: Iterable[Statement], action: str, resource: str, about: Circumstances) -> Verdict:
    """What the statements say of an action on a resource: a Deny beats every Allow; nothing is allowed by default."""
    covering = {statement.allows for statement in statements if statement.covers(action, resource, about)}
    if False in covering:
        return "ExplicitDeny"
    return "Allow" if True in covering else "ImplicitDeny"


def parse_policy(where: str, policy: Any) -> tuple[Statement, ...]:
    """The statements of a policy: a document, or the name of a ready-made one.

    Raises UsageError naming what is wrong: nothing that cannot be evaluated is passed over.
    """
    if isinstance(policy, str):
        if policy not in MANAGED:
            raise UsageError(f"{where}: there is no policy {policy!r}; ready-made are {', '.join(MANAGED)}")
        policy = MANAGED[policy]
    found = _object(where, policy, {"Version", "Statement"})
    if found.get("Version") != "1":
        raise UsageError(f"{where}: Version {found.get('Version')!r} is not accepted; '1' is")
    statements = _some(f"{where}: Statement", found.get("Statement"))
    return tuple(_statement(f"{where}: Statement {n}", item) for n, item in enumerate(statements, start=1))


MANAGED: Mapping[str, Any] = {
    "AliyunIMMFullAccess": {
        "Version": "1",
        "Statement": [{"Effect": "Allow", "Action": "imm:*", "Resource": "*"}],
    },
    "AliyunIMMReadOnlyAccess": {
        "Version": "1",
        "Statement": [{"Effect": "Allow", "Action": ["imm:Get*", "imm:List*"], "Resource": "*"}],
    },
}
"""The policies that are there by name."""


def _statement(where: str, item: Any) -> Statement:
    found = _object(where, item, {"Sid", "Effect", "Action", "NotAction", "Resource", "Condition"})
    if found.get("Effect") not in ("Allow", "Deny"):
        raise UsageError(f"{where}: Effect {found.get('Effect')!r} is not accepted; Allow and Deny are")
    if ("Action" in found) == ("NotAction" in found):
        raise UsageError(f"{where}: exactly one of Action and NotAction must be given")
    verb = "Action" if "Action" in found else "NotAction"
    return Statement(
        allows=found["Effect"] == "Allow",
        actions=tuple(_action(f"{where}: {verb}", text) for text in _some(f"{where}: {verb}", found[verb])),
        inverted=verb == "NotAction",
        resources=tuple(
            _resource(f"{where}: Resource", text) for text in _some(f"{where}: Resource", found.get("Resource"))
        ),
        conditions=tuple(_conditions(f"{where}: Condition", found.get("Condition", {}))),
    )


def _action(where: str, text: Any) -> re.Pattern[str]:
    if not isinstance(text, str) or not (text == "*" or re.fullmatch(r"[A-Za-z0-9*-]+:[A-Za-z0-9*]+", text)):
        raise UsageError(f"{where} {text!r} is not an action; `imm:Get*` and the like are accepted")
    return _pattern(text, re.IGNORECASE)


def _resource(where: str, text: Any) -> re.Pattern[str]:
    """A pattern over `acs:imm:*:account:path`. The endpoint has no region, so that a region in it is any."""
    if text == "*":
        return _pattern("*")
    parts = text.split(":", 4) if isinstance(text, str) else []
    if len(parts) != 5 or parts[0] != "acs" or not all(parts[1:2] + parts[4:]):
        raise UsageError(f"{where} {text!r} is not a resource; `*` and acs:imm:REGION:ACCOUNT:PATH are accepted")
    return _pattern(":".join([*parts[:2], "*", parts[3] or "*", parts[4]]))


def _pattern(text: str, flags: int = 0) -> re.Pattern[str]:
    runs = re.sub(r"\*+", "*", text).split("*")
    return re.compile(".*".join(re.escape(run) for run in runs), flags | re.DOTALL)


def _conditions(where: str, found: Any) -> Iterable[Condition]:
    if not isinstance(found, dict):
        raise UsageError(f"{where} is not an object")
    for operator, keys in found.items():
        if not isinstance(keys, dict) or not keys:
            raise UsageError(f"{where}: {operator} is not an object of keys")
        for key, values in keys.items():
            if (operator, key) not in _OPERATORS:
                known = "; ".join(f"{name} of {about}" for name, about in _OPERATORS)
                raise UsageError(f"{where}: {operator} of {key} cannot be evaluated; accepted are {known}")
            yield _OPERATORS[operator, key](f"{where}: {operator}", _some(f"{where}: {key}", values))


def _from_networks(where: str, values: list[Any]) -> Condition:
    try:
        networks = [ipaddress.ip_network(str(value), strict=False) for value in values]
    except ValueError as error:
        raise UsageError(f"{where}: {error}") from None
    return lambda about: about.source is not None and any(about.source in network for network in networks)


def _not_from_networks(where: str, values: list[Any]) -> Condition:
    inside = _from_networks(where, values)
    return lambda about: not inside(about)


def _is_secure(where: str, values: list[Any]) -> Condition:
    texts = {str(value).lower() for value in values}
    if not texts <= {"true", "false"}:
        raise UsageError(f"{where}: true and false are accepted")
    return lambda about: str(about.secure).lower() in texts


def _is_time(compare: Callable[[datetime, datetime], bool]) -> Callable[[str, list[Any]], Condition]:
    def condition(where: str, values: list[Any]) -> Condition:
        times = []
        for value in values:
            try:
                time = datetime.fromisoformat(str(value))
            except ValueError:
                raise UsageError(f"{where}: {value!r} is not a time") from None
            if time.tzinfo is None:
                raise UsageError(f"{where}: {value!r} has no offset from UTC; end it with Z")
            times.append(time.astimezone(UTC))
        return lambda about: any(compare(about.now, time) for time in times)

    return condition


_OPERATORS: Mapping[tuple[str, str], Callable[[str, list[Any]], Condition]] = {
    ("IpAddress", "acs:SourceIp"): _from_networks,
    ("NotIpAddress", "acs:SourceIp"): _not_from_networks,
    ("Bool", "acs:SecureTransport"): _is_secure,
    ("DateLessThan", "acs:CurrentTime"): _is_time(lambda now, time: now < time),
    ("DateLessThanEquals", "acs:CurrentTime"): _is_time(lambda now, time: now <= time),
    ("DateGreaterThan", "acs:CurrentTime"): _is_time(lambda now, time: now > time),
    ("DateGreaterThanEquals", "acs:CurrentTime"): _is_time(lambda now, time: now >= time),
}
"""The conditions that are evaluated; all others are refused when a policy is loaded."""


def _object(where: str, value: Any, accepted: set[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"{where} is not an object")
    if strange := sorted(set(value) - accepted):
        raise UsageError(
            f"{where} has the keys {', '.join(map(str, strange))}; accepted are {', '.join(sorted(accepted))}"
        )
    return value


def _some(where: str, value: Any) -> list[Any]:
    found = value if isinstance(value, list) else [value]
    if value is None or not found:
        raise UsageError(f"{where} is missing or empty")
    return found
