"""The command line: keys, whose secrets show once, and what `serve` refuses to start with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from deltalake import DeltaTable

from schemas.errors import LakeAlbumError, UsageError
from serve.commands import keys, make_app, serve


def run(folder: Path, *arguments: str) -> Result:
    """A call of `lakealbum keys`, with its file in a folder."""
    return CliRunner().invoke(keys, [*arguments, "--credentials", str(folder / "keys.json")])


def test_a_secret_is_shown_once(tmp_path: Path) -> None:
    made = json.loads(run(tmp_path, "create", "--policy", "AliyunIMMFullAccess", "--owner", "42", "--json").stdout)
    told = run(tmp_path, "create", "--policy", "AliyunIMMReadOnlyAccess").stdout
    assert "ALIBABA_CLOUD_ACCESS_KEY_ID=LTAI" in told
    assert "ALIBABA_CLOUD_ACCESS_KEY_SECRET=" in told
    for listed in (run(tmp_path, "list").stdout, run(tmp_path, "list", "--json").stdout):
        assert made["AccessKeyId"] in listed
        assert made["AccessKeySecret"] not in listed
    run(tmp_path, "disable", made["AccessKeyId"])
    (first, _) = json.loads(run(tmp_path, "list", "--json").stdout)["AccessKeys"]
    assert (first["Status"], first["Owner"], first["Policies"]) == ("Inactive", "42", ["AliyunIMMFullAccess"])
    run(tmp_path, "delete", made["AccessKeyId"])
    assert len(json.loads(run(tmp_path, "list", "--json").stdout)["AccessKeys"]) == 1


def test_a_policy_of_ones_own_is_read_and_checked(tmp_path: Path) -> None:
    policy = tmp_path / "policy.json"
    policy.write_text('{"Version": "1", "Statement": [{"Effect": "Allow", "Action": "imm:Get*", "Resource": "*"}]}')
    for given in (str(policy), policy.read_text()):
        assert run(tmp_path, "create", "--policy", given).exit_code == 0
    policy.write_text('{"Version": "1", "Statement": [{"Effect": "Allow", "Action": "imm:Get*"}]}')
    for wrong in (str(policy), "nowhere.json", "{"):
        assert isinstance(run(tmp_path, "create", "--policy", wrong).exception, UsageError)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--lake", "lake"],
        ["--lake", "lake", "--http", "--tls-cert", "x", "--tls-key", "y"],
        ["--lake", "lake", "--tls-cert", "x"],
        ["--lake", "lake", "--http", "--credentials", "nowhere.json"],
    ],
)
def test_what_serve_refuses_to_start_with(
    tmp_path: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LAKEALBUM_LAKE", raising=False)
    assert isinstance(CliRunner().invoke(serve, arguments).exception, UsageError)
    assert not (tmp_path / "lake").exists()


def test_a_certificate_is_not_written_over(tmp_path: Path) -> None:
    made = CliRunner().invoke(serve, ["--make-certificate", str(tmp_path / "tls"), "--name", "photos.local"])
    assert made.stdout.splitlines()[1] == f"SSL_CERT_FILE={tmp_path}/tls/ca.pem"
    again = CliRunner().invoke(serve, ["--make-certificate", str(tmp_path / "tls")])
    assert isinstance(again.exception, UsageError)


def test_a_lake_is_made_where_there_is_none_and_another_version_left_alone(tmp_path: Path) -> None:
    run(tmp_path, "create", "--policy", "AliyunIMMFullAccess")
    root, credentials = str(tmp_path / "lake"), str(tmp_path / "keys.json")
    make_app(root, credentials, jobs=False).door.nonces.close()
    table = DeltaTable(f"{root}/datasets")
    table.alter.set_table_properties({"lakealbum.contractVersion": "99"}, raise_if_not_exists=False)
    with pytest.raises(LakeAlbumError, match="99"):
        make_app(root, credentials, jobs=False)
