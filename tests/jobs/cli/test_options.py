from __future__ import annotations

from pathlib import Path

import pytest

from jobs.cli.options import JobConfig, build_config
from schemas.errors import UsageError


class Gaps(JobConfig):
    gap_days: int
    min_days: int = 1
    max_days: int = 99
    levels: tuple[str, ...] = ()


def build(config: str) -> Gaps:
    given = {
        "lake": "lake",
        "project": None,
        "dataset": (),
        "run_id": None,
        "dry_run": None,
        "user_data": None,
        "notify": None,
    }
    return build_config(Gaps, {**given, "config": Path(config), "set": (), "tag": ()}, {})


def test_a_configuration_of_the_package_is_found_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert build("conf/location-dates.yaml").levels


def test_a_file_of_ones_own_comes_before_that_of_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "conf" / "location-dates.yaml"
    own.parent.mkdir()
    own.write_text("gap_days: 77\n", encoding="utf-8")
    assert build("conf/location-dates.yaml").gap_days == 77


@pytest.mark.parametrize("config", ["conf/nowhere.yaml", "location-dates.yaml"])
def test_a_missing_configuration_is_named(config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=f"--config '{config}' cannot be read"):
        build(config)
