"""docs/endpoint.md is made from the code, and the code knows what the SDK knows."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import alibabacloud_imm20200930.client as sdk

from serve.docs import endpoint_markdown
from serve.operations import load
from serve.operations.known import KNOWN

ROOT = Path(__file__).parents[2]


def test_the_page_is_up_to_date() -> None:
    assert (ROOT / "docs/endpoint.md").read_text(encoding="utf-8") == endpoint_markdown()


def test_all_operations_of_the_sdk_are_known() -> None:
    assert set(re.findall(r"action\s*=\s*'(\w+)'", inspect.getsource(sdk))) == KNOWN
    assert load().keys() <= KNOWN


OURS = {"SearchImageFigureCluster": {"Embedding"}}
"""Parameters that IMM does not have."""
UNREAD = {"SearchImageFigureCluster": {"CredentialConfig"}}
"""Parameters that nothing depends on here."""


def test_operations_take_what_the_sdk_sends() -> None:
    """Each parameter of an operation's request is one that the operation reads, and the other way round."""
    for name, operation in load().items():
        request = getattr(sdk.main_models, f"{name}Request")
        shrunk = getattr(sdk.main_models, f"{name}ShrinkRequest", request)
        sent = set(re.findall(r"result\['(\w+)'\]", inspect.getsource(shrunk.to_map)))
        read = {parameter.name for parameter in operation.parameters}
        assert read == sent - UNREAD.get(name, set()) | OURS.get(name, set()), name
