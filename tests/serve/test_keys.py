"""The file of access keys."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from schemas.errors import NotFound, UsageError
from serve.keys import KeyFile, create_key, delete_key, disable_key

FULL = ("AliyunIMMFullAccess",)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "keys.json")


def test_keys_come_change_and_go_without_a_restart(path: str) -> None:
    first = create_key(path, owner="1", policies=FULL)
    keys = KeyFile(path)
    assert keys.get(first.key_id) == first
    own = {"Version": "1", "Statement": {"Effect": "Allow", "Action": "imm:Get*", "Resource": "*"}}
    second = create_key(path, owner="2", policies=(own,))
    found = keys.get(second.key_id)
    assert found is not None
    assert (found.owner, found.policies, found.enabled) == ("2", (own,), True)
    disable_key(path, first.key_id)
    disabled = keys.get(first.key_id)
    assert disabled is not None
    assert not disabled.enabled
    delete_key(path, first.key_id)
    assert keys.get(first.key_id) is None
    assert list(keys.all()) == [second.key_id]


def test_the_file_is_its_owners_alone(path: str) -> None:
    create_key(path, owner="1", policies=FULL)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    os.chmod(path, 0o640)
    with pytest.raises(UsageError, match="mode 0640; 0600"):
        KeyFile(path).all()
    with pytest.raises(UsageError, match="mode 0640"):
        create_key(path, owner="1", policies=FULL)


def test_a_file_that_opens_up_is_refused_at_once(path: str) -> None:
    key = create_key(path, owner="1", policies=FULL)
    keys = KeyFile(path)
    assert keys.get(key.key_id)
    os.chmod(path, 0o604)
    with pytest.raises(UsageError, match="mode"):
        keys.get(key.key_id)


def test_secrets_do_not_show(path: str) -> None:
    key = create_key(path, owner="1", policies=FULL)
    assert key.secret not in repr(key)
    assert len(key.secret) >= 30


@pytest.mark.parametrize("content", ["", "[]", '{"keys": [{}]}', '{"keys": 7}', "{"])
def test_a_broken_file_is_an_error(path: str, content: str) -> None:
    Path(path).write_text(content)
    os.chmod(path, 0o600)
    with pytest.raises(UsageError, match="credentials"):
        KeyFile(path).all()


def test_a_key_twice_and_unknown_fields_are_errors(path: str) -> None:
    create_key(path, owner="1", policies=FULL)
    (row,) = json.loads(Path(path).read_text())["keys"]
    for rows in ([row, row], [{**row, "role": "x"}], [{**row, "policies": [{"Version": "9"}]}]):
        Path(path).write_text(json.dumps({"keys": rows}))
        with pytest.raises(UsageError):
            KeyFile(path).all()


def test_what_is_not_there_is_told(path: str) -> None:
    with pytest.raises(UsageError, match="lakealbum keys create"):
        KeyFile(path).all()
    create_key(path, owner="1", policies=FULL)
    for change in (disable_key, delete_key):
        with pytest.raises(NotFound, match="no access key 'LTAI'"):
            change(path, "LTAI")
    with pytest.raises(UsageError, match="policy"):
        create_key(path, owner="1", policies=())
    with pytest.raises(UsageError, match="owner"):
        create_key(path, owner="a b", policies=FULL)
