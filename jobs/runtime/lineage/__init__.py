"""Runs told to a collector of OpenLineage events, where one is configured: docs/lineage.md.

`reporting` is what a run calls; `events` makes events of its record; `naming` and `parents` say who is who.
"""
