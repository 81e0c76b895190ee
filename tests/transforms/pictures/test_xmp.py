"""`transforms.pictures.xmp`: what packets say, in each of the forms that programs write, and what they cannot do."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.pictures.evidence import Said
from transforms.pictures.xmp import NotXmpError, read_xmp

HEAD = """<?xpacket begin='\ufeff' id='W5M0MpCehiHzreSzNTczkc9d'?>
<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'
 xmlns:exif='http://ns.adobe.com/exif/1.0/' xmlns:xmp='http://ns.adobe.com/xap/1.0/'
 xmlns:photoshop='http://ns.adobe.com/photoshop/1.0/' xmlns:dc='http://purl.org/dc/elements/1.1/'
 xmlns:mwg-rs='http://www.metadataworkinggroup.com/schemas/regions/'
 xmlns:MPReg='http://ns.microsoft.com/photo/1.2/t/Region#'
 xmlns:Iptc4xmpExt='http://iptc.org/std/Iptc4xmpExt/2008-02-29/'>"""
FOOT = "</rdf:RDF></x:xmpmeta><?xpacket end='w'?>"


def read(body: str, encoding: str = "utf-8") -> Said:
    return read_xmp(f"{HEAD}{body}{FOOT}".encode(encoding), source="xmp")


def element(name: str, text: str) -> str:
    return f"<rdf:Description rdf:about=''><{name}>{text}</{name}></rdf:Description>"


def attribute(name: str, text: str) -> str:
    return f"<rdf:Description rdf:about='' {name}='{text}'/>"


@pytest.mark.parametrize("form", [element, attribute])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2021-08-09T10:11:12+09:00", ("2021-08-09T10:11:12+09:00", "offset")),
        ("2021-08-09T10:11:12.25-0330", ("2021-08-09T10:11:12.25-03:30", "offset")),
        ("2021-08-09T10:11:12Z", ("2021-08-09T10:11:12Z", "instant")),
        ("2021-08-09T10:11:12", ("2021-08-09T10:11:12", "local")),
        ("2021-08-09T10:11", ("2021-08-09T10:11:00", "local")),
        ("2021:08:09 10:11:12", ("2021-08-09T10:11:12", "local")),
        ("1931-08-09", ("1931-08-09T12:00:00", "local")),
        ("2021-08", None),
        ("2021", None),
        ("2021-02-30T10:11:12", None),
        ("0000-00-00T00:00:00", None),
        ("yesterday", None),
    ],
)
def test_times(form: object, text: str, expected: tuple[str, str] | None) -> None:
    for name in ("exif:DateTimeOriginal", "photoshop:DateCreated", "xmp:CreateDate"):
        times = read(form(name, text)).times  # type: ignore[operator]
        assert [(taken.text, taken.time_is) for taken in times] == ([expected] if expected else [])


def test_the_time_of_the_shot_goes_before_that_of_the_file() -> None:
    body = attribute("xmp:CreateDate", "2022-01-01T00:00:00") + element("exif:DateTimeOriginal", "1999-01-01T00:00:00")
    assert [taken.text for taken in read(body).times] == ["1999-01-01T00:00:00"]


@pytest.mark.parametrize(
    ("latitude", "longitude", "place"),
    [
        ("34,41.106N", "135,48.288E", (34.6851, 135.8048)),
        ("34,41,6.36N", "135,48,17.28E", (34.6851, 135.8048)),
        ("33,52.5S", "151,12.6W", (-33.875, -151.21)),
        ("34.6851N", "135.8048E", (34.6851, 135.8048)),
        ("0,0N", "0,0E", None),
        ("34,41.106", "135,48.288E", None),
        ("34,61N", "135,48.288E", None),
        ("135,48.288E", "34,41.106N", None),
    ],
)
def test_places(latitude: str, longitude: str, place: tuple[float, float] | None) -> None:
    found = read(attribute("exif:GPSLatitude", latitude) + attribute("exif:GPSLongitude", longitude)).place
    assert (found and (found.latitude, found.longitude)) == (pytest.approx(place) if place else None)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_words_and_people(encoding: str) -> None:
    said = read(
        """<rdf:Description rdf:about=''>
        <dc:title><rdf:Alt><rdf:li xml:lang='x-default'>Deer park</rdf:li>
         <rdf:li xml:lang='ja'>鹿公園</rdf:li></rdf:Alt></dc:title>
        <dc:description><rdf:Alt><rdf:li xml:lang='x-default'> In Nara &amp; around </rdf:li></rdf:Alt></dc:description>
        <dc:subject><rdf:Bag><rdf:li>park</rdf:li><rdf:li> deer </rdf:li><rdf:li>park</rdf:li></rdf:Bag></dc:subject>
        <Iptc4xmpExt:PersonInImage><rdf:Bag><rdf:li>Ann</rdf:li></rdf:Bag></Iptc4xmpExt:PersonInImage>
        <mwg-rs:Regions rdf:parseType='Resource'><mwg-rs:RegionList><rdf:Bag>
         <rdf:li><rdf:Description mwg-rs:Name='Bob' mwg-rs:Type='Face'/></rdf:li>
         <rdf:li rdf:parseType='Resource'><mwg-rs:Name>Zoë</mwg-rs:Name><mwg-rs:Type>Face</mwg-rs:Type></rdf:li>
         <rdf:li><rdf:Description mwg-rs:Name='Rex' mwg-rs:Type='Pet'/></rdf:li>
        </rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions>
        <MPReg:Regions><rdf:Bag><rdf:li MPReg:PersonDisplayName='Eve'/></rdf:Bag></MPReg:Regions>
        </rdf:Description>""",
        encoding,
    )
    assert (said.title, said.description) == ("Deer park", "In Nara & around")
    assert said.labels == ("park", "deer", "person:Bob", "person:Zoë", "person:Eve", "person:Ann")


def test_of_a_packet_that_breaks_off_what_came_before_is_kept() -> None:
    whole = HEAD + element("exif:DateTimeOriginal", "2021-08-09T10:11:12") + "<rdf:Descr"
    assert [taken.text for taken in read_xmp(whole.encode(), source="xmp").times] == ["2021-08-09T10:11:12"]


BOMB = "<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'>" + "".join(
    f"<!ENTITY {chr(98 + n)} '{f'&{chr(97 + n)};' * 10}'>" for n in range(9)
)


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"no xml",
        (BOMB + "]><x>&j;</x>").encode(),
        b"<!DOCTYPE x SYSTEM 'file:///etc/passwd'><x/>",
        b"<a>" * 200_000,
        b"\xff\xfe\x00",
    ],
)
def test_what_is_no_packet_is_refused(packet: bytes) -> None:
    with pytest.raises(NotXmpError):
        read_xmp(packet, source="xmp")


@given(st.binary(max_size=40), st.integers(0, 2000))
def test_any_damage_is_read_or_refused(junk: bytes, at: int) -> None:
    whole = (HEAD + element("exif:DateTimeOriginal", "2021-08-09T10:11:12") + FOOT).encode()
    with suppress(NotXmpError):
        read_xmp(whole[:at] + junk + whole[at + len(junk) :], source="xmp")
