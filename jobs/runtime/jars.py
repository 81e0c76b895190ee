"""The jars that a session adds to Spark's own: those of a folder, or those that `pom.xml` pins.

`python -m jobs.runtime.jars` prints what it pins, two lines: spark.jars.packages and spark.jars.excludes; with `--s3`
those for a lake on S3, and on a third line the jar of this project for it.
"""

from __future__ import annotations

import os
import sys
import xml.etree.ElementTree as xml
from dataclasses import dataclass
from pathlib import Path

from jobs.runtime.conf import CONF

POM = CONF / "pom.xml"
"""In a checkout a link to the `pom.xml` at the root; in a wheel a copy of it."""
NAMESPACES = {"m": "http://maven.apache.org/POM/4.0.0"}
GEOMETRY_JARS = ("sedona-", "geotools-")
"""How the names of jars begin that only `use_geometry` needs: 100 MB, which take a session seconds to take in."""

S3_PROFILE = "s3"
"""The profile of `pom.xml` with what Spark needs for S3."""
LOG_STORE_JAR = CONF / "jars" / "lakealbum-s3.jar"
"""Made of `java/` by `java/build`: jobs.runtime.stores.LOG_STORE."""


@dataclass(frozen=True)
class Jars:
    """What Spark's resolver fetches (group:artifact:version), and what it leaves out of that (group:artifact)."""

    packages: tuple[str, ...]
    excludes: tuple[str, ...]


def read_pins(pom: Path = POM, *, geometry: bool = True, s3: bool = False) -> Jars:
    """The jars that a Maven project depends on, and what it excludes; GEOMETRY_JARS only if `geometry`, those of the
    profile S3_PROFILE only if `s3`.
    """
    root = xml.parse(pom).getroot()
    dependencies = root.findall("./m:dependencies/m:dependency", NAMESPACES)
    for profile in root.iterfind("./m:profiles/m:profile", NAMESPACES):
        if s3 and _text(profile, "id") == S3_PROFILE:
            dependencies += profile.findall("./m:dependencies/m:dependency", NAMESPACES)
    wanted = [each for each in dependencies if geometry or not _text(each, "artifactId").startswith(GEOMETRY_JARS)]
    exclusions = [each for dependency in wanted for each in dependency.iterfind(".//m:exclusion", NAMESPACES)]
    return Jars(
        packages=tuple(_coordinates(each, "groupId", "artifactId", "version") for each in wanted),
        excludes=tuple(dict.fromkeys(_coordinates(each, "groupId", "artifactId") for each in exclusions)),
    )


def jar_settings(*, geometry: bool, s3: bool = False) -> dict[str, str]:
    """The settings that give a session its jars, where spark-submit does not.

    The jars are those in the folder LAKEALBUM_JARS, else those that LAKEALBUM_PACKAGES names, without those of
    LAKEALBUM_EXCLUDES, else those that `pom.xml` pins. For S3 this project's own jar is among them.
    """
    settings = _jar_settings(geometry=geometry, s3=s3)
    if s3 and LOG_STORE_JAR.exists():
        settings["spark.jars"] = ",".join(filter(None, [settings.get("spark.jars"), str(LOG_STORE_JAR)]))
    return settings


def _jar_settings(*, geometry: bool, s3: bool) -> dict[str, str]:
    if directory := os.environ.get("LAKEALBUM_JARS"):
        jars = sorted(Path(directory).glob("*.jar"))
        return {"spark.jars": ",".join(str(jar) for jar in jars if geometry or not jar.name.startswith(GEOMETRY_JARS))}
    if packages := os.environ.get("LAKEALBUM_PACKAGES"):
        return {"spark.jars.packages": packages, "spark.jars.excludes": os.environ.get("LAKEALBUM_EXCLUDES", "")}
    pins = read_pins(geometry=geometry, s3=s3)
    return {"spark.jars.packages": ",".join(pins.packages), "spark.jars.excludes": ",".join(pins.excludes)}


def _coordinates(node: xml.Element, *parts: str) -> str:
    return ":".join(_text(node, part) for part in parts)


def _text(node: xml.Element, part: str) -> str:
    return node.findtext(f"m:{part}", default="", namespaces=NAMESPACES)


if __name__ == "__main__":
    for_s3 = sys.argv[1:] == ["--s3"]
    pinned = read_pins(s3=for_s3)
    print(",".join(pinned.packages), ",".join(pinned.excludes), *[LOG_STORE_JAR] * for_s3, sep="\n")
