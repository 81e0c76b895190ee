"""Job: locate. Finds the address, time zone and local day of files that lack them.

files -> file_places
"""

from __future__ import annotations

import sys
from typing import Any

import click

from jobs.cli.main import run as run_command
from jobs.cli.options import JobConfig, build_config, job_options
from jobs.places.locating import refresh_file_places, relocate_files
from jobs.runtime.commits import retry_conflicts
from jobs.runtime.runs import Run, print_result, run_job


class LocateFiles(JobConfig):
    """What `locate` can be asked."""


def locate_files(run: Run, config: LocateFiles) -> None:
    """Locates what changed, then what an older gazetteer or index located, or could not."""
    run.progress.stage("files that changed", 10)
    retry_conflicts(lambda: refresh_file_places(run))
    run.progress.stage("files located by an older index", 50)
    retry_conflicts(lambda: relocate_files(run))


@click.command("locate")
@job_options
def command(given: dict[str, Any], as_json: bool) -> None:
    """Find the address, time zone and local day of files that lack them."""
    config = build_config(LocateFiles, given, {})
    with run_job(config, job="locate-files", task_type="FileLocating") as run:
        locate_files(run, config)
    print_result(run, as_json=as_json)


if __name__ == "__main__":
    sys.exit(run_command(command))
