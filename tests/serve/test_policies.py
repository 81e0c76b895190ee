"""RAM policies: what they allow, and what is refused when they are loaded."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.errors import UsageError
from serve.policies import Circumstances, Verdict, judge, parse_policy

HERE = Circumstances(ipaddress.ip_address("10.1.2.3"), True, datetime(2026, 3, 4, tzinfo=UTC))


def verdict(policy: Any, action: str, path: str, *, owner: str = "100", about: Circumstances = HERE) -> Verdict:
    statements = parse_policy("test", policy)
    return judge(statements, f"imm:{action}", f"acs:imm:*:{owner}:{path}", about)


def policy(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "1", "Statement": list(statements)}


def allow(action: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {**allow(action, resource, **more), "Effect": "Deny"}


@pytest.mark.parametrize(
    ("resource", "path", "allowed"),
    [
        ("acs:imm:*:*:project/p", "project/p", True),
        ("acs:imm:*:*:project/p", "project/p/dataset/d", False),
        ("acs:imm:*:*:project/p", "project/p2", False),
        ("acs:imm:*:*:project/p/*", "project/p/dataset/d", True),
        ("acs:imm:*:*:project/p/*", "project/p", False),
        ("acs:imm:*:*:project/p*", "project/p2/dataset/d", True),
        ("acs:imm:*:*:project/P", "project/p", False),
        ("acs:imm:*:*:project/*/dataset/d", "project/p/dataset/d", True),
        ("acs:imm:*:*:project/*", "project/*", True),
        ("acs:imm:*:*:project/p", "project/*", False),
        ("acs:imm:cn-hangzhou:100:project/p", "project/p", True),
        ("acs:imm:*:200:project/p", "project/p", False),
        ("acs:oss:*:*:*", "project/p", False),
        ("acs:imm:*:*:project/p.*", "project/px", False),
        ("*", "project/p/dataset/d", True),
    ],
)
def test_resources(resource: str, path: str, allowed: bool) -> None:
    assert (verdict(policy(allow("imm:*", resource)), "GetProject", path) == "Allow") is allowed


@pytest.mark.parametrize(
    ("action", "asked", "allowed"),
    [
        ("imm:Get*", "GetProject", True),
        ("imm:get*", "GetProject", True),
        ("imm:*Project", "GetProject", True),
        ("imm:Get*", "ListProjects", False),
        ("oss:*", "GetProject", False),
        ("*", "GetProject", True),
        (["imm:ListTasks", "imm:GetProject"], "GetProject", True),
    ],
)
def test_actions(action: Any, asked: str, allowed: bool) -> None:
    assert (verdict(policy(allow(action)), asked, "project/p") == "Allow") is allowed


def test_deny_wins_in_any_order_and_nothing_is_allowed_by_default() -> None:
    both = [allow("imm:*"), deny("imm:Delete*", "acs:imm:*:*:project/p/*")]
    for statements in (both, both[::-1]):
        assert verdict(policy(*statements), "DeleteDataset", "project/p/dataset/d") == "ExplicitDeny"
        assert verdict(policy(*statements), "GetDataset", "project/p/dataset/d") == "Allow"
    assert verdict(policy(deny("imm:GetTask")), "GetProject", "project/p") == "ImplicitDeny"


def test_not_action() -> None:
    found = policy({"Effect": "Allow", "NotAction": "imm:Delete*", "Resource": "*"})
    assert verdict(found, "GetProject", "project/p") == "Allow"
    assert verdict(found, "DeleteProject", "project/p") == "ImplicitDeny"


def test_ready_made_policies() -> None:
    assert verdict("AliyunIMMFullAccess", "DeleteProject", "project/p") == "Allow"
    assert verdict("AliyunIMMReadOnlyAccess", "ListDatasets", "project/p/dataset/*") == "Allow"
    for action in ("SimpleQuery", "QueryFigureClusters", "CreateProject"):
        assert verdict("AliyunIMMReadOnlyAccess", action, "project/p") == "ImplicitDeny"


@pytest.mark.parametrize(
    ("condition", "allowed"),
    [
        ({"IpAddress": {"acs:SourceIp": ["10.0.0.0/8", "::1"]}}, True),
        ({"IpAddress": {"acs:SourceIp": "192.168.0.0/16"}}, False),
        ({"NotIpAddress": {"acs:SourceIp": "10.0.0.0/8"}}, False),
        ({"Bool": {"acs:SecureTransport": "true"}}, True),
        ({"Bool": {"acs:SecureTransport": ["false"]}}, False),
        ({"DateLessThan": {"acs:CurrentTime": "2026-03-05T00:00:00+08:00"}}, True),
        ({"DateGreaterThan": {"acs:CurrentTime": "2026-03-05T00:00:00Z"}}, False),
        ({"Bool": {"acs:SecureTransport": "true"}, "IpAddress": {"acs:SourceIp": "1.2.3.4"}}, False),
        ({}, True),
    ],
)
def test_conditions_that_are_evaluated(condition: dict[str, Any], allowed: bool) -> None:
    found = policy(allow("imm:*", Condition=condition))
    assert (verdict(found, "GetProject", "project/p") == "Allow") is allowed


@pytest.mark.parametrize(
    "wrong",
    [
        "AliyunOSSFullAccess",
        7,
        {"Version": "2", "Statement": [allow("imm:*")]},
        {"Version": "1"},
        {"Version": "1", "Statement": []},
        {"Version": "1", "Statement": [allow("imm:*")], "Id": "x"},
        policy({"Effect": "allow", "Action": "imm:*", "Resource": "*"}),
        policy({"Effect": "Allow", "Resource": "*"}),
        policy({"Effect": "Allow", "Action": "imm:*", "NotAction": "imm:*", "Resource": "*"}),
        policy({"Effect": "Allow", "Action": "imm:*"}),
        policy({"Effect": "Allow", "Action": "imm:*", "NotResource": "*"}),
        policy(allow("GetProject")),
        policy(allow("imm:*", "project/p")),
        policy(allow("imm:*", "acs:imm:*:*")),
        policy(allow("imm:*", [])),
        policy(allow("imm:*", Condition={"Bool": {"acs:MFAPresent": "true"}})),
        policy(allow("imm:*", Condition={"StringEquals": {"acs:SourceIp": "1.2.3.4"}})),
        policy(allow("imm:*", Condition={"IpAddress": {"acs:SourceIp": "everywhere"}})),
        policy(allow("imm:*", Condition={"DateLessThan": {"acs:CurrentTime": "2026-03-05T00:00:00"}})),
        policy(allow("imm:*", Condition=[])),
    ],
)
def test_what_cannot_be_evaluated_is_refused_when_it_is_loaded(wrong: Any) -> None:
    with pytest.raises(UsageError, match="test"):
        parse_policy("test", wrong)
