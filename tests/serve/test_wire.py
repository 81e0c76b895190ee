"""Parameters: decoded, merged, nested, none of them twice."""

from __future__ import annotations

from typing import Any

import pytest

from serve.errors import ApiError
from serve.wire import FORM, JSON, decode_pairs, merge_parameters


def merged(query: bytes = b"", kind: str | None = None, body: bytes = b"") -> dict[str, Any]:
    return merge_parameters(decode_pairs("query", query), kind, body)


def test_query_form_and_json_become_one() -> None:
    assert merged(b"A=1&B=", FORM, b"C=%E6%9D%AD+x") == {"A": "1", "B": "", "C": "杭 x"}
    assert merged(b"A=1", "application/json; charset=utf-8", b'{"A": "1", "D": {"E": [2]}}') == {
        "A": "1",
        "D": {"E": [2]},
    }
    assert merged(b"A=1", "application/octet-stream") == {"A": "1"}


def test_flattened_parameters_are_put_together() -> None:
    query = b"Query.Operation=and&Query.SubQueries.1.Field=Size&Query.SubQueries.2.Field=URI"
    query += b"&WithFields.1=URI&WithFields.2=Size"
    assert merged(query) == {
        "Query": {"Operation": "and", "SubQueries": [{"Field": "Size"}, {"Field": "URI"}]},
        "WithFields": ["URI", "Size"],
    }


@pytest.mark.parametrize(
    ("query", "kind", "body", "code"),
    [
        (b"A=1&A=1", None, b"", "InvalidArgument"),
        (b"A=1&A=2", None, b"", "InvalidArgument"),
        (b"ProjectName=a", FORM, b"ProjectName=b", "InvalidArgument"),
        (b"", FORM, b"A=1&A=1", "InvalidArgument"),
        (b"", JSON, b'{"A": 1, "A": 2}', "InvalidArgument"),
        (b"File=x&File.URI=y", None, b"", "InvalidArgument"),
        (b"File.URI=y&File=x", None, b"", "InvalidArgument"),
        (b"A.B=1&A.B.C=2", None, b"", "InvalidArgument"),
        (b"A.B.C=2&A.B=1", None, b"", "InvalidArgument"),
        (b"A=%FF", None, b"", "InvalidArgument"),
        (b"", FORM, b"A=\xff", "InvalidArgument"),
        (b"", JSON, b"{", "InvalidJSON"),
        (b"", JSON, b"[" * 100_000, "InvalidJSON"),
        (b"", JSON, b"[1]", "InvalidJSON"),
        (b"", JSON, b"\xff{}", "InvalidJSON"),
        (b"", "text/plain", b"A=1", "InvalidArgument"),
        (b"", None, b"A=1", "InvalidArgument"),
        (b"a" + b".b" * 20 + b"=1", None, b"", "InvalidArgument"),
        (b"&".join(b"a%d=1" % n for n in range(20_001)), None, b"", "LimitExceededError"),
    ],
)
def test_what_is_ambiguous_or_broken_is_refused(query: bytes, kind: str | None, body: bytes, code: str) -> None:
    with pytest.raises(ApiError) as refused:
        merged(query, kind, body)
    assert refused.value.code == code
