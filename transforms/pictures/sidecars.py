"""Which sidecar belongs to which picture, told by the names in a folder alone.

Nothing is opened, so that a folder that did not change costs a listing. The work is n log n in the number of names.

**XMP** stands beside a picture as `NAME.SUFFIX.xmp`, else as `NAME.xmp`, then for all pictures of that name.

**Google Takeout** writes JSON beside a picture. Let its name be `IMG_1.jpg`:

- `IMG_1.jpg.supplemental-metadata.json`, `IMG_1.jpg.json`, and `IMG_1.json`; the second word may be cut short
  anywhere (`IMG_1.jpg.suppl.json`, `IMG_1.jpg..json`), and so may a long name before it (`IMG_with_a_long_nam.json`);
- of several pictures of one name, `IMG_1(2).jpg` has `IMG_1.jpg.supplemental-metadata(2).json` or `IMG_1.jpg(2).json`;
- an edited copy, `IMG_1-edited.jpg`, has none: that of its original is taken. The word is in the account's language;
- the video of a Live Photo or motion photo, `IMG_1.mp4`, has none either.

Names are compared without regard to case and to how accents are composed, but an exact name goes first.

Sources: Takeout's naming has no specification; these rules are what archives show, and what users of importers report.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from transforms.pictures.formats import MEDIA_SUFFIXES, MEDIA_TYPES, motion_stem, suffix_of

SIDECAR_SUFFIXES = frozenset({"json", "xmp"})

EDITED = (
    *("edited", "effects", "smile", "mix", "collage", "animation", "pano", "cinematic"),  # English
    *("bearbeitet", "effekte"),  # German
    *("modifié", "modifie", "effets"),  # French
    *("編集済み", "編集"),  # Japanese
    *("editado", "editada", "ha editado"),  # Spanish, Portuguese
    "modificato",  # Italian
    "bewerkt",  # Dutch
    "edytowane",  # Polish
    "editat",  # Catalan, Romanian
    *("redigerad", "redigeret", "redigert"),  # Swedish, Danish, Norwegian
    "muokattu",  # Finnish
    "upraveno",  # Czech
    "szerkesztve",  # Hungarian
    "düzenlendi",  # Turkish
    *("отредактировано", "изменено", "змінено"),  # Russian, Ukrainian
    *("已编辑", "已編輯", "已修改"),  # Chinese
    *("수정됨", "편집됨"),  # Korean
)
"""What Google Photos puts behind the name of an edited copy, after a hyphen."""

_MARK = ".supplemental-metadata"
_NUMBER = re.compile(r"^(.*?)\((\d{1,6})\)$", re.DOTALL)
_SHORTEST_CUT, _LONGEST_CUT = 40, 51
"""Takeout cuts what stands before `.json` at 46 characters; archives of other years at up to five more or less."""
_LONGEST_STEM = 47
"""Takeout cuts a picture's name so that it has at most 47 characters and its suffix."""


@dataclass
class Sidecars:
    """The sidecars of one folder: picture's name -> sidecar's name, and those that fit no picture."""

    takeout: dict[str, str] = field(default_factory=dict)
    xmp: dict[str, str] = field(default_factory=dict)
    unmatched: list[str] = field(default_factory=list)


def match_sidecars(names: Iterable[str]) -> Sidecars:
    """The sidecars among the names of one folder's files. Other names than those of media and sidecars do not matter.

    JSON whose name is not that of a sidecar (`metadata.json`) and that fits nothing isn't `unmatched`: it is something
    else. The result does not depend on the order of the names.
    """
    media, json_names, xmp_names = [], [], []
    for name in sorted(names):
        suffix = suffix_of(name)
        if suffix in MEDIA_SUFFIXES:
            media.append(name)
        elif suffix == "json":
            json_names.append(name)
        elif suffix == "xmp":
            xmp_names.append(name)
    found = Sidecars()
    if xmp_names:
        found.xmp = _match_xmp(media, xmp_names)
    if json_names:
        found.takeout = _Takeout(media, json_names).match()
    used = {*found.xmp.values(), *found.takeout.values()}
    found.unmatched = [name for name in (*json_names, *xmp_names) if name not in used and is_sidecar(name)]
    return found


def is_sidecar(name: str) -> bool:
    """Whether a file's name is that of a sidecar, of whatever picture.

    >>> [is_sidecar(name) for name in ("a.xmp", "a.jpg.json", "a.jpg.suppl(1).json", "metadata.json")]
    [True, True, True, False]
    """
    if suffix_of(name) == "xmp":
        return True
    if suffix_of(name) != "json":
        return False
    base, _ = _split_number(_folded(name)[: -len(".json")])
    whole = _without_mark(base)
    return suffix_of(whole) in MEDIA_SUFFIXES or whole != base


def _match_xmp(media: Collection[str], xmp_names: Iterable[str]) -> dict[str, str]:
    by_base = _by_folded((name, name[: -len(".xmp")]) for name in xmp_names)
    found = {}
    for name in media:
        stem = name.rpartition(".")[0]
        sidecar = _choose(by_base, name) or _choose(by_base, stem)
        if sidecar is not None:
            found[name] = sidecar
    return found


class _Takeout:
    """The matching of one folder's JSON files."""

    def __init__(self, media: Collection[str], json_names: Collection[str]) -> None:
        self.media = media
        self.exact: dict[tuple[str, str], list[str]] = defaultdict(list)
        self.cut: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for name in json_names:
            base, number = _split_number(_folded(name)[: -len(".json")])
            whole = _without_mark(base)
            for key in dict.fromkeys((whole, base)):
                self.exact[key, number].append(name)
            if number and whole == base:  # the number may be part of the picture's own name
                self.exact[f"{base}({number})", ""].append(name)
            if _SHORTEST_CUT <= len(base) <= _LONGEST_CUT:
                self.cut[number].append((base, name))

    def match(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for steps in (self._by_name, self._by_stem):
            for name in self.media:
                if name not in found and (sidecar := steps(name)):
                    found[name] = sidecar
        self._add_cut(found)
        self._add_edited(found)
        self._add_companions(found)
        return found

    def _by_name(self, name: str) -> str | None:
        folded = _folded(name)
        stem, number, suffix = _parts(folded)
        return self._choose(folded, "", name) or (self._choose(stem + suffix, number, name) if number else None)

    def _by_stem(self, name: str) -> str | None:
        stem, number, _ = _parts(_folded(name))
        own = f"{stem}({number})" if number else stem
        return self._choose(own, "", name) or (self._choose(stem, number, name) if number else None)

    def _choose(self, base: str, number: str, name: str) -> str | None:
        """The sidecar of that name, one in the picture's own case first, then the one with the longer name."""
        found = self.exact.get((base, number), ())
        return min(found, key=lambda one: (not one.startswith(name), -len(one), one), default=None)

    def _add_cut(self, found: dict[str, str]) -> None:
        """Sidecars whose name was cut: each goes to the one picture without any whose whole name begins so."""
        taken = set(found.values())
        wanted: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for name in self.media:
            if name not in found:
                stem, number, suffix = _parts(_folded(name))
                wanted[number].append((stem + suffix + _MARK, name))
                if number:
                    wanted[""].append((f"{stem}({number}){suffix}{_MARK}", name))
        for number, sidecars in self.cut.items():
            wholes = sorted(wanted.get(number, ()))
            for base, sidecar in sidecars:
                if sidecar in taken:
                    continue
                start, end = bisect_left(wholes, (base,)), bisect_left(wholes, (base + "\U0010ffff",))
                fitting = [name for _, name in wholes[start : min(end, start + 20)] if name not in found]
                originals = [name for name in fitting if _original_stem(_folded(name)) is None] or fitting
                if end - start <= 20 and len({_parts(_folded(name))[0] for name in originals}) == 1:
                    found.update(dict.fromkeys(originals, sidecar))

    def _add_edited(self, found: dict[str, str]) -> None:
        """Edited copies take the sidecar of their original: of the same number and, if there are several, suffix."""
        originals: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
        cut: list[tuple[str, str, str]] = []
        for name, sidecar in found.items():
            stem, number, suffix = _parts(_folded(name))
            originals[stem, number].append((suffix, sidecar))
            cut.append((stem, number, sidecar))
        cut.sort()
        for name in self.media:
            if name in found:
                continue
            folded = _folded(name)
            stem, number, suffix = _parts(folded)
            original = _original_stem(folded)
            if original is None:
                continue
            fitting = originals.get((original, number), [])
            if not fitting and len(stem) >= _LONGEST_STEM - 1:  # the original's name was longer, before it was cut
                fitting = [(suffix, one[2]) for one in _beginning(cut, original) if one[1] == number]
            same = [sidecar for its_suffix, sidecar in fitting if its_suffix == suffix]
            choice = same or [sidecar for _, sidecar in fitting]
            if choice:
                found[name] = min(choice)

    def _add_companions(self, found: dict[str, str]) -> None:
        """Videos of Live and motion photos take their picture's sidecar, as do pictures their video's."""
        by_stem: dict[tuple[str, str], list[tuple[bool, str]]] = defaultdict(list)
        for name, sidecar in found.items():
            stem, number, suffix = _parts(_folded(name))
            by_stem[motion_stem(stem), number].append((_is_video(suffix), sidecar))
        for name in self.media:
            if name in found:
                continue
            stem, number, suffix = _parts(_folded(name))
            others = by_stem.get((motion_stem(stem), number), ())
            fitting = [sidecar for is_video, sidecar in others if is_video != _is_video(suffix)]
            if fitting:
                found[name] = min(fitting)


def _beginning(rows: list[tuple[str, str, str]], start: str) -> list[tuple[str, str, str]]:
    """The rows whose text begins so, at most 20 of them."""
    at = bisect_left(rows, (start,))
    return [row for row in rows[at : at + 20] if row[0].startswith(start)]


def _original_stem(folded: str) -> str | None:
    """The stem of the picture of which this is an edited copy by its name; None if it is none."""
    stem = _parts(folded)[0]
    original, hyphen, word = stem.rpartition("-")
    if not hyphen or not original:
        return None
    is_cut = len(stem) >= _LONGEST_STEM - 1
    if word in _EDITED or (is_cut and any(one.startswith(word) for one in _EDITED)):
        return original
    return None


def _is_video(suffix: str) -> bool:
    return MEDIA_TYPES[suffix[1:]].startswith("video/")


def _without_mark(base: str) -> str:
    """What stands before `.supplemental-metadata`, which may be cut after any letter; the base itself without it."""
    whole, dot, word = base.rpartition(".")
    if dot and _MARK[1:].startswith(word) and (suffix_of(whole) in MEDIA_SUFFIXES or len(word) >= 5):
        return whole
    return base


def _split_number(base: str) -> tuple[str, str]:
    """A name without the number in brackets at its end, and the number.

    >>> _split_number("img_1.jpg(2)"), _split_number("img_1.jpg")
    (('img_1.jpg', '2'), ('img_1.jpg', ''))
    """
    match = _NUMBER.match(base)
    return (match[1], match[2]) if match else (base, "")


def _parts(folded: str) -> tuple[str, str, str]:
    """Stem without number, number, and suffix with its dot."""
    stem, _, suffix = folded.rpartition(".")
    base, number = _split_number(stem)
    return base, number, "." + suffix


def _folded(name: str) -> str:
    return (
        name.lower() if name.isascii() else unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
    )


_EDITED = frozenset(map(_folded, EDITED))


def _by_folded(pairs: Iterable[tuple[str, str]]) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for name, base in pairs:
        found[_folded(base)].append(name)
    return found


def _choose(by_folded: Mapping[str, list[str]], base: str) -> str | None:
    """The name of that base: in the same case if there is one, else the first."""
    found = by_folded.get(_folded(base), ())
    return min(found, key=lambda name: (not name.startswith(base), name), default=None)
