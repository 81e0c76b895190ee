"""Groups of commands that are imported when they are asked for: help loads none, a command no other."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click


class LazyGroup(click.Group):
    """A group with commands of other modules: name -> (module, name of the command there, one line of help)."""

    def __init__(self, *args: Any, elsewhere: Mapping[str, tuple[str, str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.elsewhere = elsewhere

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.elsewhere, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self.elsewhere:
            return super().get_command(ctx, name)
        module, attribute, _ = self.elsewhere[name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, text) for name, (_, _, text) in self.elsewhere.items()]
        rows += [
            (name, self.commands[name].get_short_help_str(limit=formatter.width)) for name in super().list_commands(ctx)
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
