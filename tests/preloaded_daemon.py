"""The daemon of sessions, with what Spark's Python workers import loaded before it forks them: a second for each."""

from importlib import import_module
from pkgutil import walk_packages

import transforms
from jobs.runtime import worker_daemon

if __name__ == "__main__":
    worker_daemon.leave_out_zips()
    for module in walk_packages(transforms.__path__, "transforms."):
        import_module(module.name)
    worker_daemon.run()
