"""Calibrate figures: fits the profile of `cluster figures` to labelled faces, without a JVM.

figures, labels -> a configuration
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from catalog.commands.options import in_lake
from catalog.commands.output import print_json
from catalog.lake import Lake, Scope
from catalog.terminal import printable
from jobs.cli.main import run as run_command
from jobs.people.labels import read_libraries
from jobs.runtime.conf import CONF
from schemas.errors import UsageError
from transforms.people.calibration import DEFAULTS, Library, calibrate, count_strangers, cross_validate
from transforms.people.grouping import Profile

LEAST_PEOPLE = 10
"""People who could be founded, from which a profile says something of others."""
LEAST_STRANGERS = 100
"""Pairs of good faces of different people, from which their cosines say something of strangers'."""

EXAMPLE = CONF / "figures.yaml"


@dataclass(frozen=True)
class Calibration:
    """A profile, what it was fitted to, and BCubed F of people left out: with the defaults, and with such a profile."""

    profile: Profile
    faces: int
    people: int
    before: float
    after: float

    @property
    def changes(self) -> dict[str, tuple[float, float]]:
        """The default and the new value of what changed."""
        new = vars(self.profile)
        return {name: (old, new[name]) for name, old in vars(DEFAULTS).items() if new[name] != old}

    @property
    def sentences(self) -> tuple[str, str]:
        """What the profile was fitted to, and how well it does."""
        scores = f"{self.before:.3f} with the defaults, {self.after:.3f} with profiles fitted to the others"
        return (
            f"Calibrated on {self.faces:,} faces, {self.people:,} people who could be founded among them.",
            f"BCubed F of people left out of the fitting: {scores}.",
        )


def fit(libraries: list[Library]) -> Calibration:
    """Fits a profile to libraries. Raises UsageError saying what is needed, where the labels say too little."""
    people = sum(library.founded(DEFAULTS.founders) for library in libraries)
    strangers = sum(map(count_strangers, libraries))
    if people < LEAST_PEOPLE or strangers < LEAST_STRANGERS:
        raise UsageError(
            f"the labels have {people:,} people with {DEFAULTS.founders} good faces in {DEFAULTS.founders} images, and "
            f"{strangers:,} pairs of good faces of different people; {LEAST_PEOPLE} and {LEAST_STRANGERS} are needed, "
            f"some tens of people are better"
        )
    before, after = cross_validate(libraries)
    return Calibration(calibrate(libraries), sum(len(library.group) for library in libraries), people, before, after)


def as_yaml(found: Calibration) -> str:
    """A configuration of `cluster figures`: the example's, with its comments, and the profile's values."""
    values = vars(found.profile)
    head = "# For `lakealbum cluster figures --config FILE`: the profile of an embedding model.\n"
    _, key, example = EXAMPLE.read_text(encoding="utf-8").partition("profile:\n")
    body = re.sub(r"(?m)^  (\w+): .*$", lambda line: f"  {line[1]}: {values[line[1]]}", example)
    return head + "".join(f"# {sentence}\n" for sentence in found.sentences) + "\n" + key + body


@click.group("calibrate")
def calibrate_command() -> None:
    """Fit the options of a clustering to labels."""


@calibrate_command.command("figures")
@click.argument("labels", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    default=Path("profile.yaml"),
    show_default=True,
    help="YAML file to write; it replaces one that is there.",
)
@in_lake
def command(lake: Lake, scope: Scope, as_json: bool, labels: Path, out: Path) -> None:
    """Fit the profile of `cluster figures` to another embedding model, from faces in the lake that LABELS names.

    LABELS is a .csv or .parquet file with the columns figure_id and person (empty: nobody's), or figure_id,
    other_figure_id and same (true or false), and dataset_name where datasets share figure ids.
    """
    if not out.parent.is_dir():
        raise UsageError(f"--out {str(out)!r}: there is no directory {str(out.parent)!r}")
    found = fit(read_libraries(lake, scope, labels))
    out.write_text(as_yaml(found), encoding="utf-8")
    if as_json:
        print_json(_document(found))
        return
    for name, (old, new) in found.changes.items():
        click.echo(f"{name:<16} {old:>7} -> {new}")
    for sentence in found.sentences:
        click.echo(sentence)
    if found.after <= found.before:
        click.echo("No better than the defaults: keep them, or label more people.")
    click.echo(f"Wrote {printable(str(out))}.")


def _document(found: Calibration) -> dict[str, Any]:
    return {
        "Profile": vars(found.profile),
        "Changed": {name: {"From": old, "To": new} for name, (old, new) in found.changes.items()},
        "FacesCount": found.faces,
        "PeopleCount": found.people,
        "BCubedBefore": found.before,
        "BCubedAfter": found.after,
    }


if __name__ == "__main__":
    sys.exit(run_command(calibrate_command))
