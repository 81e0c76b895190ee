"""How many examples Hypothesis makes of a property."""

from hypothesis import settings


def examples(many: int) -> int:
    """`many` with --slow, which makes others each time; else a fifth, the same each time (tests/conftest.py)."""
    return max(many // 5, 2) if settings.default.derandomize else many
