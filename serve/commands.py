"""The command line of the endpoint: serve, and keys."""

from __future__ import annotations

import contextlib
import ctypes
import json
import logging
import socket
import ssl
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from catalog.commands.output import print_document
from catalog.create import ensure_lake
from catalog.lake import Lake
from catalog.projects import Namespaces
from schemas.errors import UsageError
from schemas.locations import absolute_uri, lake_root
from schemas.settings import LakeSettings
from serve import keys as key_file
from serve.app import App, Limits
from serve.certificates import make_certificate
from serve.door import Door
from serve.keys import DEFAULT_OWNER, KeyFile
from serve.nonces import Nonces
from serve.notifications import Notifier, Topics
from serve.operations import load
from serve.policies import MANAGED
from serve.queue import Queue, Worker
from serve.sources import SYNC_SECONDS, Sources

M_ARENA_MAX = -8
"""Of glibc's malloc.h."""
CREDENTIALS = click.option(
    "--credentials",
    envvar="LAKEALBUM_CREDENTIALS",
    default="lakealbum-keys.json",
    show_default=True,
    metavar="FILE",
    help="The file of the access keys.",
)


@click.command("serve")
@click.option("--lake", envvar="LAKEALBUM_LAKE", help="Root of the lake; made if it is not there.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8443, show_default=True, help="Port; 0 for any free one."
)
@click.option("--tls-cert", type=click.Path(path_type=Path), help="Certificate, PEM, with its chain.")
@click.option("--tls-key", type=click.Path(path_type=Path), help="Its key, PEM.")
@click.option("--http", "plain", is_flag=True, help="Speak plain HTTP, behind a proxy or for tests.")
@CREDENTIALS
@click.option(
    "--workers", type=click.IntRange(1, 256), default=16, show_default=True, help="Requests worked on at once."
)
@click.option("--no-jobs", is_flag=True, help="Take work in, but leave it to another server of the lake.")
@click.option(
    "--notifications",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="YAML that says where topics lead: `notifications: {topics: {NAME: URL}}` (docs/notifications.md).",
)
@click.option(
    "--source",
    "sources",
    multiple=True,
    metavar="URI",
    help="A folder or prefix that CreateBinding may let datasets follow; repeatable.  [default: none]",
)
@click.option(
    "--sync-every",
    type=click.IntRange(1, 86_400),
    default=SYNC_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="How often bound sources are read again.",
)
@click.option(
    "--make-certificate",
    "certificate",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write a CA and a certificate for localhost, say how to use them, and end.",
)
@click.option("--name", "names", multiple=True, help="With --make-certificate: another host name; repeatable.")
def serve(
    lake: str | None,
    host: str,
    port: int,
    tls_cert: Path | None,
    tls_key: Path | None,
    plain: bool,
    credentials: str,
    workers: int,
    no_jobs: bool,
    notifications: Path | None,
    sources: tuple[str, ...],
    sync_every: int,
    certificate: Path | None,
    names: tuple[str, ...],
) -> None:
    """Answer the SDK of Alibaba Cloud IMM (2020-09-30) from a lake."""
    if certificate:
        made = make_certificate(certificate, names)
        click.echo(f"lakealbum serve --tls-cert {made.certificate} --tls-key {made.key}")
        click.echo(f"SSL_CERT_FILE={made.authority.absolute()}")
        return
    if not lake:
        raise UsageError("--lake must be given, or LAKEALBUM_LAKE set")
    if plain == bool(tls_cert or tls_key) or bool(tls_cert) != bool(tls_key):
        raise UsageError("give --tls-cert and --tls-key (`--make-certificate DIR` makes some), or --http")
    tls: dict[str, Any] = {} if plain else {"ssl_certfile": str(tls_cert), "ssl_keyfile": str(tls_key)}
    told: tuple[str, ...] = ()
    if notifications:
        Notifier(lake, Topics.read(notifications))  # what is wrong with it is said now
        told = ("--notifications", str(notifications))
    readable = Sources.of(sources, sync_every)
    with listen(host, port) as listener:  # before a worker is started that would have to be ended again
        app = make_app(
            absolute_uri(lake_root(lake)), credentials, threads=workers, jobs=not no_jobs, told=told, sources=readable
        )
        run_server(app, listener, tls)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises UsageError where none can be had, such as at a port in use."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise UsageError(f"{host}:{port} cannot be listened at: {error.strerror or error}") from None


def make_app(
    root: str,
    credentials: str,
    *,
    threads: int = 16,
    jobs: bool = True,
    told: Sequence[str] = (),
    sources: Sources | None = None,
) -> App:
    """The application of a lake, which is made if it is not there; `told` are options of the worker.

    Raises UsageError for bad credentials, LakeError for a lake of another version.
    """
    key_store = KeyFile(credentials)
    key_store.all()
    ensure_lake(root, LakeSettings())
    lake, sources = Lake(root, busy=True), sources or Sources()
    options = [*told, *(part for each in sources.roots for part in ("--source", each))]
    queue = Queue(lake, Worker(root, options) if jobs else None, sources)
    door = Door(lake, Namespaces(lake), queue, key_store, Nonces(f"{credentials}.nonces"), load())
    return App(door, Limits(threads=threads))


def bound_arenas() -> None:
    """Lets glibc keep what threads free in two places, not in eight a core, where memory seems to grow for long."""
    with contextlib.suppress(AttributeError, OSError):  # another C library has its own ways
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)


def run_server(app: App, listener: socket.socket, tls: dict[str, Any]) -> None:
    """Serves until a signal says to stop; then requests under way are ended first."""
    import uvicorn

    from serve.protocol import Protocol

    bound_arenas()
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format='{"level": "%(levelname)s", "log": "%(message)s"}'
    )
    try:
        config = uvicorn.Config(
            app,
            http=Protocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=30,
            backlog=1024,
            **tls,
        )
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"the certificate or its key cannot be read: {error}") from None

    class Server(uvicorn.Server):
        """Says where it listens, once it does."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            name, number = listener.getsockname()[:2]
            click.echo(f"listening at {'https' if tls else 'http'}://{name}:{number}")

    Server(config).run(sockets=[listener])


@click.group()
def keys() -> None:
    """Make, list, disable and delete the access keys of the endpoint."""


@keys.command("create")
@click.option("--owner", default=DEFAULT_OWNER, show_default=True, help="The account, as resources name it.")
@click.option(
    "--policy",
    "policies",
    multiple=True,
    metavar="NAME|JSON|FILE",
    help=f"What the key may do: {', '.join(MANAGED)}, or a RAM policy's JSON, or a file of it; repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@CREDENTIALS
def create(owner: str, policies: tuple[str, ...], as_json: bool, credentials: str) -> None:
    """Make a key. Its secret is shown this once."""
    made = key_file.create_key(credentials, owner=owner, policies=tuple(_policy(text) for text in policies))
    if as_json:
        click.echo(json.dumps({"AccessKeyId": made.key_id, "AccessKeySecret": made.secret, "Owner": made.owner}))
        return
    click.echo(f"ALIBABA_CLOUD_ACCESS_KEY_ID={made.key_id}")
    click.echo(f"ALIBABA_CLOUD_ACCESS_KEY_SECRET={made.secret}")


@keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@CREDENTIALS
def list_keys(as_json: bool, credentials: str) -> None:
    """Show the keys, without their secrets."""
    rows = [
        {
            "AccessKeyId": key.key_id,
            "Owner": key.owner,
            "Status": "Active" if key.enabled else "Inactive",
            "CreateTime": key.create_time,
            "Policies": list(key.policies),
        }
        for key in KeyFile(credentials).all().values()
    ]
    if as_json:
        print_document({"AccessKeys": rows})
        return
    for row in rows:
        named = ", ".join(policy if isinstance(policy, str) else "a policy of its own" for policy in row["Policies"])
        click.echo(f"{row['AccessKeyId']}  {row['Status']:<8}  {row['Owner']}  {row['CreateTime']}  {named}")


@keys.command("disable")
@click.argument("key_id")
@CREDENTIALS
def disable(key_id: str, credentials: str) -> None:
    """Refuse a key from now on."""
    key_file.disable_key(credentials, key_id)


@keys.command("delete")
@click.argument("key_id")
@CREDENTIALS
def delete(key_id: str, credentials: str) -> None:
    """Take a key out of the file."""
    key_file.delete_key(credentials, key_id)


def _policy(text: str) -> Any:
    """A ready-made policy's name, or a document: written out, or in a file."""
    if text in MANAGED:
        return text
    try:
        return json.loads(text if text.lstrip().startswith("{") else Path(text).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"--policy {text!r} is none of {', '.join(MANAGED)}, no JSON nor a file of it: {error}"
        ) from None
