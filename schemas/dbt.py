"""The tables as sources of dbt, with the meaning of every column: `python -m schemas.docs --dbt > lakealbum.yml`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa
import yaml

from schemas.contract import Contract
from schemas.owners import OWNERS

TypeName = Callable[[pa.DataType], str]
_WIDTH = 120


def dbt_sources(contracts: Iterable[Contract], type_name: TypeName) -> str:
    """A file of dbt sources, in YAML: a table a contract, `not_null` where a value may not be missing.

    `type_name` writes an Arrow type in SQL's words. Key, owner and freshness are in `meta`.
    """
    tables = [_table(contract, type_name) for contract in contracts]
    source = {
        "name": "lakealbum",
        "description": "Tables of a lake of photo and video metadata, and the albums that LakeAlbum makes of it.",
        "tables": tables,
    }
    document = {"version": 2, "sources": [source]}
    text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=_WIDTH)
    return text


def _table(contract: Contract, type_name: TypeName) -> dict[str, Any]:
    owner = OWNERS[contract.name]
    return {
        "name": contract.name,
        "description": f"One row per {contract.row}. {contract.notes}".strip(),
        "meta": {"key": list(contract.key), "owner": list(owner.verbs), "fresh": owner.fresh},
        "columns": [
            {
                "name": column.name,
                "description": column.comment,
                "data_type": type_name(column.type),
                **({} if column.nullable else {"data_tests": ["not_null"]}),
            }
            for column in contract.columns
        ],
    }
