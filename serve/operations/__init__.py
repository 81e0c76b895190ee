"""IMM's operations, a module a topic. `load` imports them all, which registers them."""

from __future__ import annotations

import importlib
import pkgutil

from serve.operations.registry import OPERATIONS, Operation


def load() -> dict[str, Operation]:
    """All operations by name, their modules imported."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return OPERATIONS
