"""The verb that looks after the outbox: notifications list, notifications retry."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from catalog import imm, terminal
from catalog.commands.options import in_lake
from catalog.commands.output import print_json, show
from catalog.lake import Lake, Scope
from catalog.notifications import (
    STATES,
    NotificationQuery,
    deliver,
    expire_notifications,
    find_undelivered,
    list_notifications,
)
from catalog.webhooks import Webhook


@click.group()
def notifications() -> None:
    """List notifications, or send those again that were not delivered."""


@notifications.command("list")
@click.option("--state", "states", multiple=True, help=f"{', '.join(STATES)}; repeatable.")
@click.option("--max-results", type=int, default=100, show_default=True, help="Notifications a page, 1 to 100.")
@click.option("--next-token", help="Goes on where the last page ended.")
@in_lake
def list_command(
    lake: Lake, scope: Scope, as_json: bool, states: tuple[str, ...], max_results: int, next_token: str | None
) -> None:
    """List the notifications of a project, the oldest first; `--state dead` those that were given up."""
    page = list_notifications(lake, NotificationQuery(scope.project, states, max_results), next_token)
    documents = [imm.notification(row) for row in page.rows]
    show(lake, Scope(scope.project), page, as_json, "Notifications", documents, terminal.notifications)


@notifications.command("retry")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@in_lake
def retry(lake: Lake, scope: Scope, as_json: bool, ids: tuple[str, ...]) -> int:
    """Send notifications now: those of these ids, or all that were not delivered, the dead ones among them."""
    webhook = Webhook.from_environment()
    asked = find_undelivered(lake, scope.project, ids)
    done = deliver(lake, webhook, asked) if asked else None
    expire_notifications(lake, datetime.now(UTC))
    delivered, sent = (done.delivered, done.sent) if done else (0, 0)
    if as_json:
        print_json({"Sent": sent, "Delivered": delivered, "Waiting": len(asked) - sent})
    else:
        click.echo(f"{delivered:,} of {sent:,} were delivered; {len(asked) - sent:,} wait for their tasks to end.")
    return 0 if delivered == sent else 1
