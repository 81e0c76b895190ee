"""Trips computed the plain way, with pandas: what the jobs must come to, whatever the order of files and runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from schemas.contract import LEVELS

Trip = tuple[str, str, str, str, str, int, int]


def trips_of(
    rows: Iterable[dict[str, Any]], *, gap_days: int, min_days: int, max_days: int, levels: Sequence[str]
) -> set[Trip]:
    """(dataset, level, place path, first day, last day, files, videos) of every trip of these source rows."""
    files = pd.DataFrame([_flat(row) for row in rows]).drop_duplicates(["dataset", "uri"], keep="last")
    found: set[Trip] = set()
    for level in levels:
        path = list(LEVELS[: LEVELS.index(level) + 1])
        there = files[files[level] != ""].copy()
        if there.empty:
            continue
        there["place"] = there[path].agg("/".join, axis=1)
        for (dataset, place), group in there.groupby(["dataset", "place"]):
            group = group.sort_values("day", kind="stable")
            cut = np.diff(group["day"].to_numpy(), prepend=group["day"].iloc[0]) > np.timedelta64(gap_days + 1, "D")
            for _, segment in group.groupby(cut.cumsum()):
                first, last = segment["day"].iloc[0], segment["day"].iloc[-1]
                if min_days <= (last - first).days + 1 <= max_days:
                    ends = (str(first.date()), str(last.date()))
                    found.add((dataset, level, place, *ends, len(segment), int(segment["video"].sum())))
    return found


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    address = row["address"]
    country = address.get("country", "")
    province = address.get("province", country)
    filled = {"country": country, "province": province, "city": address.get("city", province)}
    filled |= {level: address.get(level, "") for level in ("district", "township")}
    return {
        "dataset": row["dataset_name"],
        "uri": row["uri"],
        "day": pd.Timestamp(row["produce_time"][:10]),
        "video": row["media_type"] == "video",
        **filled,
    }
