"""How long `sync` takes of a folder in which nothing, or little, changed; and that it does exactly what changed.

    python -m bench.sync [--files 100000] [--changes 1000] [--cut] [--work DIR]

Small JPEGs, all different, with a time and most with a place, every fiftieth beside a smaller copy of it, in folders of
a thousand. They are bound, synced and clustered as typed, each command a process of its own. A second sync is timed,
and one under strace tells which pictures were opened (where strace is installed). Then as many pictures as said are
changed, renamed and deleted; tables before and after tell whether exactly these changed, and whether the renamed kept
ids, custom ids and clusters. With `--cut`, all but the copies and their originals end before their pixels: of these the
metadata are read and the content is hashed, which takes a tenth of the time. Run it as bench/similar_images.py.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bench.measuring import describe_machine
from catalog.file_meta import FileUpdate, update_files
from catalog.lake import Lake, Row, Scope

OURS = Scope("default", ("ada",))
CLUSTERS = ("location_date_clusters", "similar_image_clusters")
COPIES = 50
"""Every so many pictures, one is a copy of the one before."""
KEPT = ("object_id", "create_time", "content_hash", "produce_time", "latitude", "longitude", "custom_id")


def write_picture(path: Path, number: int, *, seed: int, size: tuple[int, int] = (96, 72), cut: bool = False) -> None:
    """A picture of noise in large spots; one of ten has no place. One that is `cut` ends where its pixels begin."""
    spots = np.random.default_rng(seed).integers(0, 255, (9, 12, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Canon", "EOS R6"
    minute, second = divmod(number, 60)
    day = f"{2001 + number // 1000 % 20}:{1 + number // 100 % 12:02d}:{1 + number // 7 % 28:02d}"
    exif.get_ifd(0x8769)[0x9003] = f"{day} {10 + minute // 60 % 10}:{minute % 60:02d}:{second:02d}"
    if number % 10:
        exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 51.0, 24.0), 3: "E", 4: (2.0, 21.0, 3.0)})
    made = io.BytesIO()
    Image.fromarray(spots).resize(size, Image.Resampling.BICUBIC).save(made, "JPEG", exif=exif, quality=90)
    content = made.getvalue()
    path.write_bytes(content[: content.rindex(b"\xff\xda")] + spots.tobytes() if cut else content)


def path_of(root: Path, number: int) -> Path:
    return root / f"{number // 1000:04d}" / f"IMG_{number:06d}.jpg"


def make_folder(root: Path, files: int, *, cut: bool) -> None:
    """The pictures of a library, under `root`."""
    for number in range(files):
        path = path_of(root, number)
        path.parent.mkdir(parents=True, exist_ok=True)
        is_copy = number % COPIES == COPIES - 1
        is_cut = cut and number % COPIES < COPIES - 2
        write_picture(path, number, seed=number - is_copy, size=(64, 48) if is_copy else (96, 72), cut=is_cut)


def run(lake: Path, *arguments: str, before: Sequence[str] = ()) -> Any:
    """Calls a verb in a process of its own, and tells how long it took. Returns its JSON."""
    command = [*before, sys.executable, "-m", "jobs.cli.main", *arguments, "--lake", str(lake), "--json"]
    used, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    seconds, spent = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr[-2000:]}")
    cpu = spent.ru_utime + spent.ru_stime - used.ru_utime - used.ru_stime
    print(f"  {' '.join(arguments[:2]):<28} {seconds:8.1f} s  {cpu:8.1f} s of CPU", flush=True)
    return json.loads(done.stdout)


def sync(lake: Path, *options: str, before: Sequence[str] = ()) -> Row:
    """What `sync` tells of the only binding: its counts."""
    (told,) = run(lake, "sync", *options, before=before)["Bindings"]
    counts = {name: value for name, value in told.items() if isinstance(value, int) and value}
    print(f"    {counts}", flush=True)
    return counts


def cluster(lake: Path) -> None:
    trips = ("--gap-days", "1", "--min-days", "1", "--max-days", "99999", "--levels", "city")
    run(lake, "cluster", "location-date", *trips)
    run(lake, "cluster", "similar-images")


def opened_pictures(lake: Path, trace: Path) -> int | None:
    """How many pictures a sync opens; None without strace."""
    if shutil.which("strace") is None:
        return None
    sync(lake, before=["strace", "-f", "--seccomp-bpf", "-qq", "-e", "trace=open,openat,openat2", "-o", str(trace)])
    with trace.open(errors="replace") as lines:
        return sum('.jpg"' in line for line in lines)


def read_files(lake: Path) -> dict[str, Row]:
    """The rows of files that are there, by uri."""
    columns = ", ".join(dict.fromkeys(("uri", "update_time", *KEPT)))
    found = Lake(str(lake)).read(f"SELECT {columns} FROM files WHERE deleted_time IS NULL", "files")
    return {row["uri"]: row for row in found}


def read_clusters(lake: Path) -> dict[str, set[str]]:
    """The ids of clusters, and of which similar-image cluster files are members."""
    ids = {table: {row["object_id"] for row in Lake(str(lake)).read(f"SELECT object_id FROM {table}", table)}
           for table in CLUSTERS}  # fmt: skip
    members = Lake(str(lake)).read("SELECT uri, object_id FROM similar_image_members", "similar_image_members")
    return {**ids, "members": {f"{row['uri']} {row['object_id']}" for row in members}}


def change_folder(root: Path, changes: int) -> dict[str, dict[str, str]]:
    """Changes, renames and deletes pictures. Returns the uris of each, those of renamed ones with the new."""
    done: dict[str, dict[str, str]] = {"changed": {}, "renamed": {}, "gone": {}}
    (root / "renamed").mkdir()
    for number in range(3 * changes):
        path, kind = path_of(root, number), ("changed", "renamed", "gone")[number // changes]
        target = root / "renamed" / f"{number}.jpg" if kind == "renamed" else path
        if kind == "changed":
            write_picture(path, number, seed=10_000_000 + number)
        elif kind == "renamed":
            path.rename(target)
        else:
            path.unlink()
        done[kind][path.as_uri()] = target.as_uri()
    return done


def check_files(before: dict[str, Row], after: dict[str, Row], done: dict[str, dict[str, str]]) -> None:
    """Raises AssertionError unless exactly what was done to the folder was done to `files`."""
    renamed = done["renamed"]
    expected = {renamed.get(uri, uri) for uri in before} - set(done["gone"])
    assert set(after) == expected, (len(after), len(expected))
    for old, new in renamed.items():
        assert all(before[old][name] == after[new][name] for name in KEPT), (before[old], after[new])
    touched = {uri for uri in after if uri in before and before[uri] != after[uri]}
    assert touched == set(done["changed"]), (len(touched), sorted(touched ^ set(done["changed"]))[:5])
    assert all(before[uri]["object_id"] == after[uri]["object_id"] for uri in touched)
    assert all(before[uri]["content_hash"] != after[uri]["content_hash"] for uri in touched)


def check_clusters(before: dict[str, set[str]], after: dict[str, set[str]], done: dict[str, dict[str, str]]) -> None:
    """Raises AssertionError unless all but changed and deleted pictures are in the clusters in which they were."""
    lost = set(done["changed"]) | set(done["gone"])
    kept = {member for member in before["members"] if member.partition(" ")[0] not in lost}
    moved = {f"{done['renamed'].get(uri, uri)} {cluster}" for uri, _, cluster in (each.partition(" ") for each in kept)}
    assert moved == after["members"], sorted(moved ^ after["members"])[:6]
    assert before["location_date_clusters"] == after["location_date_clusters"]


def main() -> None:
    """Makes the folder, if it is not there, syncs it, changes it, and checks what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--changes", type=int, default=1000)
    parser.add_argument("--cut", action="store_true", help="most pictures without pixels")
    parser.add_argument("--work", type=Path)
    asked = parser.parse_args()
    print(describe_machine(("pyspark", "deltalake", "pillow")))
    with tempfile.TemporaryDirectory(dir=asked.work) as folder:
        root, lake = Path(folder, "photos"), Path(folder, "lake")
        make_folder(root, asked.files, cut=asked.cut)
        run(lake, "bind", str(root), "--dataset", "ada")
        assert sync(lake)["New"] == asked.files
        cluster(lake)
        assert sync(lake) == {"Listed": asked.files}
        print(f"  pictures opened by a sync of what is as it was: {opened_pictures(lake, Path(folder, 'trace'))}")
        edited = [path_of(root, asked.changes + number).as_uri() for number in range(100)]
        ids = [FileUpdate.of(uri, {"custom_id": f"mine {number}"}) for number, uri in enumerate(edited)]
        update_files(Lake(str(lake)), OURS, ids)
        files, clusters = read_files(lake), read_clusters(lake)
        done = change_folder(root, asked.changes)
        told = sync(lake, "--grace", "0d")
        assert {told[name] for name in ("Changed", "Moved", "Removed")} == {asked.changes}, told
        check_files(files, read_files(lake), done)
        cluster(lake)
        check_clusters(clusters, read_clusters(lake), done)
        assert sync(lake) == {"Listed": asked.files - asked.changes}
        print(f"exactly {asked.changes:,} each were changed, renamed and removed; the renamed kept ids and clusters")


if __name__ == "__main__":
    main()
