"""What becomes of a row: the column that says it, in frames and in Arrow tables alike."""

ACTION = "_action"
"""insert, update or delete."""
BEFORE = ("delete", "update_preimage")
"""Kinds of change (`_change_type` of Delta's change feed) whose row is what there was before."""
