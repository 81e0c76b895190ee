"""What an XMP packet says, embedded in a file or beside it.

Source: XMP part 1 (ISO 16684-1) for the form, part 2 and EXIF for XMP (CIPA DC-010) for the properties, MWG's
guidelines 2.0 (regions of faces), IPTC Extension 1.1 (persons). A packet is read by expat, event by event;
document types, which entities need, are refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from xml.parsers import expat

from transforms.pictures.evidence import Place, Said, Taken, moment, offset_text, place_of, plain_texts
from transforms.pictures.exif import parse_offset

MAX_XMP_BYTES = 2**24
"""Larger sidecars are not read; those with painted masks have some megabytes."""

_RDF, _DC = "http://www.w3.org/1999/02/22-rdf-syntax-ns# ", "http://purl.org/dc/elements/1.1/ "
_EXIF, _XAP = "http://ns.adobe.com/exif/1.0/ ", "http://ns.adobe.com/xap/1.0/ "
_PHOTOSHOP = "http://ns.adobe.com/photoshop/1.0/ "
_REGION_NAME = "http://www.metadataworkinggroup.com/schemas/regions/ Name"
_REGION_TYPE = "http://www.metadataworkinggroup.com/schemas/regions/ Type"
_PERSONS = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/ PersonInImage"
_MICROSOFT_PERSON = "http://ns.microsoft.com/photo/1.2/t/Region# PersonDisplayName"
_TITLE, _DESCRIPTION, _SUBJECT = _DC + "title", _DC + "description", _DC + "subject"
_LATITUDE, _LONGITUDE = _EXIF + "GPSLatitude", _EXIF + "GPSLongitude"
_TIMES = (_EXIF + "DateTimeOriginal", _PHOTOSHOP + "DateCreated", _XAP + "CreateDate")
_SIMPLE = frozenset({*_TIMES, _LATITUDE, _LONGITUDE})
_LISTS = frozenset({_TITLE, _DESCRIPTION, _SUBJECT, _PERSONS})
_LI, _DESCRIPTION_NODE = _RDF + "li", _RDF + "Description"
_ANY = re.compile(
    rb"DateTimeOriginal|DateCreated|CreateDate|GPSLatitude|:title|:subject|:description|PersonInImage"
    rb"|PersonDisplayName|regions/"
)
_DEEPEST = 100
_MOST_ITEMS = 1000
_LONGEST_DESCRIPTION = 4000
_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?\s?(Z|[+-]\d\d:?\d\d)?)?", re.ASCII)
_EXIF_TIME = re.compile(r"^(\d{4}):(\d\d):(\d\d) ", re.ASCII)
_DEGREES = re.compile(r"(\d{1,3}(?:\.\d+)?)(?:,(\d{1,2}(?:\.\d+)?))?(?:,(\d{1,2}(?:\.\d+)?))?([NSEW])", re.ASCII)


class NotXmpError(ValueError):
    """Bytes that are no XMP packet."""


def says_something(packet: bytes) -> bool:
    """Whether a packet in UTF-8 may hold any property that is read, told without parsing it."""
    return _ANY.search(packet) is not None


def read_xmp(packet: bytes, *, source: str) -> Said:
    """What a packet says; `source` is `xmp` or `xmp_sidecar`. Of a packet that breaks off, what came before.

    Raises NotXmpError for a packet that says nothing before it turns out to be no XML, or has a document type, which
    XMP has not, or more than 100 elements inside each other.
    """
    reader = _Reader()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = reader.refuse_doctype
    try:
        parser.Parse(packet.strip(b"\0 \t\r\n"), True)
    except (expat.ExpatError, NotXmpError) as error:
        if not (reader.simple or reader.lists or reader.people) or isinstance(error, NotXmpError):
            raise NotXmpError(f"no XMP: {error}") from error
    taken = next((taken for name in _TIMES if (taken := _taken(reader.simple.get(name), source))), None)
    subjects = plain_texts(reader.lists.get(_SUBJECT, ()))
    people = plain_texts([*reader.people, *reader.lists.get(_PERSONS, ())])
    return Said(
        times=(taken,) if taken else (),
        place=_place(reader.simple, source),
        title=next(iter(plain_texts(reader.lists.get(_TITLE, ()))), None),
        description=_description(reader.lists.get(_DESCRIPTION, ())),
        labels=(*subjects, *(f"person:{name}" for name in people)),
    )


class _Reader:
    """Gathers properties: simple ones, whether attributes or elements, the items of lists, and people in regions."""

    def __init__(self) -> None:
        self.simple: dict[str, str] = {}
        self.lists: dict[str, list[str]] = {}
        self.people: list[str] = []
        self._path: list[str] = []
        self._texts: list[list[str]] = []
        self._regions: list[dict[str, str]] = []

    def refuse_doctype(self, *_: Any) -> None:
        raise NotXmpError("it has a document type")

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if len(self._path) >= _DEEPEST:
            raise NotXmpError(f"more than {_DEEPEST} elements inside each other")
        self._path.append(tag)
        self._texts.append([])
        if tag in (_LI, _DESCRIPTION_NODE):
            self._regions.append({})
        for name, value in attributes.items():
            self._take(name, value)

    def text(self, data: str) -> None:
        if self._texts:
            self._texts[-1].append(data)

    def end(self, tag: str) -> None:
        self._path.pop()
        value = "".join(self._texts.pop()).strip()
        if tag == _LI and value and len(self._path) >= 2 and self._path[-2] in _LISTS:
            self._add(self._path[-2], value)
        elif value:
            self._take(tag, value)
        if tag in (_LI, _DESCRIPTION_NODE):
            self._end_region(self._regions.pop())

    def _take(self, name: str, value: str) -> None:
        if name in _SIMPLE:
            self.simple.setdefault(name, value)
        elif name in (_REGION_NAME, _REGION_TYPE, _MICROSOFT_PERSON) and self._regions:
            self._regions[-1][name] = value
        elif name in _LISTS:  # a list of one, written as a plain value
            self._add(name, value)

    def _add(self, name: str, value: str) -> None:
        items = self.lists.setdefault(name, [])
        if len(items) < _MOST_ITEMS:
            items.append(value)

    def _end_region(self, region: Mapping[str, str]) -> None:
        """A region names a person unless it says that it is of something else (a pet, a bar code, a focus point)."""
        name = region.get(_MICROSOFT_PERSON) or region.get(_REGION_NAME)
        if not name:
            if region and self._regions:  # the type and the name may stand in an element around this one
                self._regions[-1].update(region)
            return
        if region.get(_REGION_TYPE, "Face") == "Face" and len(self.people) < _MOST_ITEMS:
            self.people.append(name)


def _taken(text: str | None, source: str) -> Taken | None:
    """A time; of a day alone, noon stands for it. A month or a year alone is none. Darktable writes it as EXIF does."""
    match = _TIME.fullmatch(_EXIF_TIME.sub(r"\1-\2-\3T", text.strip())) if text else None
    if match is None:
        return None
    clock = (int(match[4]), int(match[5]), int(match[6] or 0)) if match[4] else (12, 0, 0)
    wall = moment(int(match[1]), int(match[2]), int(match[3]), *clock)
    if wall is None:
        return None
    written = wall.isoformat() + (f".{match[7][:9]}" if match[7] else "")
    if match[8] == "Z":
        return Taken(written + "Z", "instant", source)
    offset = parse_offset(match[8]) if match[8] else None
    if offset is None:
        return Taken(written, "local", source)
    return Taken(written + offset_text(offset), "offset", source)


def _place(simple: Mapping[str, str], source: str) -> Place | None:
    latitude = _degrees(simple.get(_LATITUDE), "NS")
    return place_of(latitude, _degrees(simple.get(_LONGITUDE), "EW"), source) if latitude is not None else None


def _degrees(text: str | None, hemispheres: str) -> float | None:
    """Signed degrees from `DDD,MM,SSk`, `DDD,MM.mmk` (both of the standard) or `DDD.dddk`."""
    match = _DEGREES.fullmatch(text.strip()) if text else None
    if match is None or match[4] not in hemispheres:
        return None
    minutes, seconds = float(match[2] or 0), float(match[3] or 0)
    if minutes >= 60 or seconds >= 60:
        return None
    angle = float(match[1]) + minutes / 60 + seconds / 3600
    return -angle if match[4] in "SW" else angle


def _description(texts: list[str] | tuple[str, ...]) -> str | None:
    return next((text.strip()[:_LONGEST_DESCRIPTION] for text in texts if text.strip() and "\0" not in text), None)
