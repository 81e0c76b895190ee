"""Runs told to a collector of OpenLineage events, where one is configured (docs/lineage.md).

`reporting` is what a run calls; `events` makes events of a state of its record (`states`), with the names of `naming`
and the parents of `parents`.
"""
