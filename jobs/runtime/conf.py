"""The configurations that come with the package."""

from __future__ import annotations

from pathlib import Path

CONF = Path(__file__).parents[2] / "conf"
"""Job configurations, Spark's properties and the pinned jars: in a checkout and in an installed wheel alike."""
