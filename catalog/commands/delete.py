"""The verbs `delete` and `undelete`."""

from __future__ import annotations

import click

from catalog import figures, similar_images, terminal
from catalog.commands.options import in_lake
from catalog.commands.output import done, undelete_command
from catalog.lake import Lake, Scope
from catalog.location_dates import delete_cluster, undelete_cluster
from schemas.cluster_kinds import GROUPS, PEOPLE, TRIPS


@click.command("location-date")
@click.argument("object_id", metavar="ID")
@in_lake
def delete_location_date(lake: Lake, scope: Scope, as_json: bool, object_id: str) -> None:
    """Delete a trip or stay. Its files stay; its days at that place no longer make a trip."""
    cluster = delete_cluster(lake, scope, TRIPS.full_id(object_id))
    undo = undelete_command("location-date", cluster["object_id"])
    done(as_json, f"Deleted {terminal.name_of(cluster)}. To undo: {undo}")


@click.command("similar-images")
@click.argument("object_id", metavar="ID")
@in_lake
def delete_similar_images(lake: Lake, scope: Scope, as_json: bool, object_id: str) -> None:
    """Hide similar images. The pictures stay, and so do the marks on them."""
    cluster = similar_images.delete_cluster(lake, scope, GROUPS.full_id(object_id))
    undo = undelete_command("similar-images", cluster["object_id"])
    done(as_json, f"Deleted {terminal.name_of_similar(cluster)}. To undo: {undo}")


@click.command("figures")
@click.argument("object_id", metavar="ID")
@in_lake
def delete_figures(lake: Lake, scope: Scope, as_json: bool, object_id: str) -> None:
    """Ignore a person for good. The faces stay."""
    person = figures.ignore_person(lake, scope, PEOPLE.full_id(object_id))
    undo = undelete_command("figures", person["object_id"])
    done(as_json, f"Ignored {terminal.name_of_person(person)}. To undo: {undo}")


@click.command("location-date")
@click.argument("object_id", metavar="ID")
@in_lake
def undelete_location_date(lake: Lake, scope: Scope, as_json: bool, object_id: str) -> None:
    """Bring a deleted trip or stay back."""
    back = undelete_cluster(lake, scope, TRIPS.full_id(object_id))
    outcome = "it is back" if back else "it comes back with the next run of `lakealbum cluster location-date`"
    done(as_json, f"Undeleted {TRIPS.full_id(object_id)}: {outcome}.")


@click.command("similar-images")
@click.argument("object_id", metavar="ID")
@in_lake
def undelete_similar_images(lake: Lake, scope: Scope, as_json: bool, object_id: str) -> None:
    """Bring deleted similar images back."""
    back = similar_images.undelete_cluster(lake, scope, GROUPS.full_id(object_id))
    outcome = "they are back" if back else f"`lakealbum explain {object_id}` says why they are not to be seen"
    done(as_json, f"Undeleted {GROUPS.full_id(object_id)}: {outcome}.")


@click.command("figures")
@click.argument("object_id", metavar="ID")
@in_lake
def undelete_figures(lake: Lake, scope: Scope, as_json: bool, object_id: str) -> None:
    """Bring an ignored person back, or let the faces of an erased one be indexed again."""
    back = figures.undelete_person(lake, scope, PEOPLE.full_id(object_id))
    later = "is not there; faces that were erased can come back with the next `lakealbum index --rows figures`"
    outcome = "is back" if back else later
    done(as_json, f"Undeleted {PEOPLE.full_id(object_id)}: {outcome}.")
