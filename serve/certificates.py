"""A CA and a certificate for this machine, so that IMM's sample code speaks HTTPS to the endpoint."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import trustme

from schemas.errors import UsageError

NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Certificate:
    """Where the files are: what clients trust, and what the server shows."""

    authority: Path
    certificate: Path
    key: Path


def make_certificate(directory: Path, names: tuple[str, ...] = ()) -> Certificate:
    """Writes ca.pem, cert.pem and key.pem (mode 0600) for localhost and the other names.

    Raises UsageError where they are there already.
    """
    made = Certificate(directory / "ca.pem", directory / "cert.pem", directory / "key.pem")
    if there := [path for path in vars(made).values() if path.exists()]:
        raise UsageError(f"{there[0]} is there already; name another directory, or delete it")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        authority = trustme.CA(organization_name="LakeAlbum endpoint")
        issued = authority.issue_cert(*NAMES, *names)
        authority.cert_pem.write_to_path(made.authority)
        issued.cert_chain_pems[0].write_to_path(made.certificate)
        with os.fdopen(os.open(made.key, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(issued.private_key_pem.bytes())
    except OSError as error:
        raise UsageError(f"{directory} cannot be written: {error}") from None
    return made
