"""The verb `files`: what is known of files, looked at and changed by the catalog, removed by a job."""

from __future__ import annotations

import importlib

import click

from catalog.commands.files import files as of_catalog


class FilesGroup(click.Group):
    """The catalog's commands, and `delete`, which is `remove`; its job is imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), "delete"])

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name == "delete":
            command: click.Command = importlib.import_module("jobs.remove_files").command
            return command
        return super().get_command(ctx, name)


files = FilesGroup("files", commands=of_catalog.commands, help=of_catalog.help)
