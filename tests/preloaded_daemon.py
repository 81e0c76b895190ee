"""`pyspark.daemon`, with what Spark's Python workers import loaded before it forks them: each would take a second."""

from importlib import import_module
from pkgutil import iter_modules

from pyspark.daemon import manager

import transforms

if __name__ == "__main__":
    for module in iter_modules(transforms.__path__, "transforms."):
        import_module(module.name)
    manager()
