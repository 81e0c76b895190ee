"""The verb `models`: the face models there are, and putting them on this machine. No JVM is started."""

from __future__ import annotations

import json

import click

from jobs.people.face_models import FaceModel, family_names, model_folder, read_family, state_of
from jobs.people.installing import install
from schemas.errors import UsageError


@click.group("models")
def models() -> None:
    """List the models that find faces, or install one on this machine."""


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")
def list_command(as_json: bool) -> None:
    """List the face models, with their licences, and whether they are installed."""
    families = [read_family(name) for name in family_names()]
    if as_json:
        print(json.dumps({"Models": [_document(family) for family in families]}, indent=2))
        return
    for family in families:
        click.echo(f"{family.name:<24} {_state(family):<10} {family.title}; licence: {family.licence}")
    click.echo(f"Installed in {model_folder()}; LAKEALBUM_MODELS names another folder.")


@models.command("install")
@click.argument("name")
@click.option("--from", "source", metavar="DIR|URL", help="Folder or address of the files.  [default: the makers']")
@click.option("--accept-licence", is_flag=True, help="Accept the terms of models that are not free for every use.")
def install_command(name: str, source: str | None, accept_licence: bool) -> None:
    """Put the face models NAME on this machine, checked by their SHA-256."""
    family = read_family(name)
    click.echo(f"{family.title}; licence: {family.licence}")
    if family.terms:
        click.echo(family.terms)
        if not accept_licence:
            raise UsageError(f"nothing was fetched: --accept-licence says that your use of {name} is within that")
    for path in install(family, source):
        click.echo(f"{path}: installed")


def _state(family: FaceModel) -> str:
    states = {state_of(file) for file in family.files.both}
    return next(state for state in ("altered", "missing", "installed") if state in states)


def _document(family: FaceModel) -> dict[str, object]:
    return {
        "Name": family.name,
        "Model": family.model,
        "Title": family.title,
        "Licence": family.licence,
        "Terms": family.terms,
        "State": _state(family),
        "Folder": str(model_folder()),
    }
