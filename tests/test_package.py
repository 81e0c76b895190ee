"""The wheel: what it holds, and that the code in it finds itself."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from jobs.runtime.jars import POM
from schemas.version import VERSION

ROOT = Path(__file__).parents[1]
PACKAGES = ("jobs", "transforms", "schemas", "catalog", "serve", "conf")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel installs; it is built by the environment's backend, without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, env=os.environ | {"LAKEALBUM_COMMIT": "0123456789ab"}, check=True)
    with zipfile.ZipFile(folder / f"lakealbum-{VERSION}-py3-none-any.whl") as wheel:
        wheel.extractall(folder / "site")
    return folder / "site"


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder whose packages have the names of ours."""
    for name in PACKAGES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise ImportError('{name} of the caller')\n", encoding="utf-8")
    return tmp_path


def python(site: Path, code: str, folder: Path) -> str:
    """What an interpreter prints that has the wheel installed, and not this checkout."""
    variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONSAFEPATH")}
    start = f"import site, sys; sys.path[:] = [p for p in sys.path if p]; site.addsitedir({str(site)!r})\n"
    command = [sys.executable, "-c", start + code]
    ran = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=True)
    return ran.stdout


def files_under(folder: Path) -> dict[str, bytes]:
    """The files of a folder, links followed."""
    found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_site_packages_get_one_package_and_a_path(site: Path) -> None:
    assert {path.name for path in site.iterdir()} == {
        "lakealbum", "lakealbum.pth", f"lakealbum-{VERSION}.dist-info",
    }  # fmt: skip
    assert (site / "lakealbum.pth").read_text(encoding="utf-8") == "lakealbum\n"
    assert {path.name for path in (site / "lakealbum").iterdir()} == {*PACKAGES, "__init__.py", "__main__.py"}


@pytest.mark.parametrize("package", PACKAGES)
def test_it_has_every_file(site: Path, package: str) -> None:
    packed = files_under(site / "lakealbum" / package)
    packed.pop("commit.txt", None)
    wanted = files_under(ROOT / package)
    assert packed == wanted
    assert wanted
    if package == "conf":
        assert packed["pom.xml"] == POM.read_bytes()


def test_the_version_is_told_once_with_the_commit_of_the_build(site: Path, hostile: Path) -> None:
    metadata = (site / f"lakealbum-{VERSION}.dist-info" / "METADATA").read_text(encoding="utf-8")
    assert f"\nVersion: {VERSION}\n" in metadata
    code = "sys.argv[1:] = ['--version']\nfrom lakealbum import main\nmain()"
    assert python(site, code, hostile) == f"{VERSION} (0123456789ab)\n"


def test_every_interpreter_of_the_environment_finds_the_packages(site: Path, tmp_path: Path) -> None:
    code = (
        "import jobs.runtime.conf as module\nprint(module.__file__, *sorted(p.name for p in module.CONF.glob('*.xml')))"
    )
    assert python(site, code, tmp_path) == f"{site}/lakealbum/jobs/runtime/conf.py pom.xml\n"


def test_what_the_command_starts_imports_the_wheels_packages_before_the_callers(site: Path, hostile: Path) -> None:
    code = (
        "import subprocess\nfrom jobs.cli import main as module\n"
        "child = 'import schemas.version, transforms; print(schemas.version.__file__)'\n"
        "module.main = lambda: subprocess.run([sys.executable, '-c', child], check=True)\n"
        "from lakealbum import main\nmain()"
    )
    assert python(site, code, hostile) == f"{site}/lakealbum/schemas/version.py\n"
