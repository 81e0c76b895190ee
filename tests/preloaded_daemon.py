"""`pyspark.daemon`, with what Spark's Python workers import loaded before it forks them: each would take a second."""

from importlib import import_module
from pkgutil import walk_packages

from pyspark.daemon import manager

import transforms

if __name__ == "__main__":
    for module in walk_packages(transforms.__path__, "transforms."):
        import_module(module.name)
    manager()
