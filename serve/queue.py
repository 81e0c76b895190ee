"""Work that requests ask for: kept in the lake until it is done."""

from __future__ import annotations


class Queue:
    """The requests of a lake that are not carried out yet."""
