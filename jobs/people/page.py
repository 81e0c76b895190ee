"""What the page of people (jobs.pages.page) shows: the faces of each, those in doubt, and who may be the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from jobs.pages.page import command, command_list, last_commands, quoted, text_of
from jobs.pages.thumbnails import Thumbnail

HINT = (
    "Name people, tick faces that are somebody else's, faces in doubt that are right, and people who are the same; the "
    "commands that say so to the lake gather at the foot of the page."
)
STYLE = """
.faces{list-style:none;margin:.75rem 0 0;padding:0;display:grid;gap:.7rem;
grid-template-columns:repeat(auto-fill,minmax(7.2rem,1fr))}
.faces>li{min-width:0;font-size:.8rem}
.faces .frame{aspect-ratio:1}.faces .frame img{object-fit:cover}
.faces p{color:var(--soft);overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.faces .note{color:var(--amiss);white-space:normal}
.faces .ticks{gap:0;color:var(--ink);white-space:normal;font-size:.8rem}
h3{font-size:.95rem;margin:1rem 0 0;color:var(--amiss)}
.name-of{display:flex;gap:.5rem;align-items:center;flex-wrap:wrap;margin-top:.5rem}
.name-of input{width:min(18rem,100%);height:2.1rem;font:inherit;padding:.2rem .5rem;border:1px solid var(--line);
border-radius:.4rem;background:var(--page);color:inherit}
.pair .faces{grid-template-columns:repeat(auto-fill,minmax(6rem,1fr))}
.sides{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(20rem,100%),1fr));gap:1rem}
.sides h3{color:inherit}
html:not(.js) .name-of{display:none}
"""


@dataclass(frozen=True)
class Face:
    """A face as the page shows it. `confidence` is how sure it is that it is the person's."""

    figure_id: str
    uri: str
    crop: Thumbnail
    quality: float | None
    confidence: float


@dataclass(frozen=True)
class Person:
    """A person as the page shows it: the best of `count` faces, and of those in doubt the least sure.

    `options` are those that every command about it needs (--lake, --project).
    """

    object_id: str
    name: str | None
    dataset: str
    count: int
    files: int
    about: str
    faces: Sequence[Face]
    doubtful: Sequence[Face]
    options: Sequence[str]

    @property
    def heading(self) -> str:
        """The name, or how many faces."""
        return self.name or f"{self.count:,} faces"


def person_section(person: Person, number: int) -> str:
    """A person."""
    about = [f"{person.count:,} faces in {person.files:,} files", person.about, f"dataset {person.dataset}"]
    left = person.count - len(person.faces) - len(person.doubtful)
    more = f'<p class="more">and {left:,} more</p>' if left > 0 else ""
    update = command("update figures", person.object_id, person.options)
    doubtful = "".join(_card(face, is_doubtful=True) for face in person.doubtful)
    in_doubt = f'<h3>In doubt</h3><ul class="faces doubtful">{doubtful}</ul>' if doubtful else ""
    return (
        f'<section class="person" aria-labelledby="p{number}" data-command="{escape(update)}">'
        f'<h2 id="p{number}">{text_of(person.heading)}</h2>'
        f'<p class="about">{text_of(" · ".join(filter(None, about)))} · <code>{text_of(person.object_id)}</code></p>'
        f'<p class="name-of"><label>Name <input type="text" autocomplete="off" maxlength="256" data-on="--name" '
        f'value="{text_of(person.name or "")}"></label></p>'
        f'<ul class="faces">{"".join(_card(face) for face in person.faces)}</ul>{more}{in_doubt}'
        f"{command_list(_commands(person))}</section>\n"
    )


def pair_section(one: Person, other: Person, likeness: float, number: int) -> str:
    """Two people who may be the same, the larger first."""
    update = command("update figures", one.object_id, one.options)
    sides = "".join(
        f"<div><h3>{text_of(person.heading)}</h3>"
        f'<p class="about">{person.count:,} faces · <code>{text_of(person.object_id)}</code></p>'
        f'<ul class="faces">{"".join(_crop(face) for face in person.faces[:4])}</ul></div>'
        for person in (one, other)
    )
    return (
        f'<section class="pair" aria-labelledby="s{number}" data-command="{escape(update)}">'
        f'<h2 id="s{number}">The same person?</h2>'
        f'<p class="about">dataset {text_of(one.dataset)} · likeness {likeness:.2f}</p>'
        f'<div class="sides">{sides}</div>'
        f'<p class="ticks" data-quoted="{escape(quoted(other.object_id))}"><label><input type="checkbox" '
        'autocomplete="off" data-on="--merge"> the same person</label></p>'
        f"{command_list([('they are the same person', f'{update} --merge {other.object_id}')])}</section>\n"
    )


def _card(face: Face, *, is_doubtful: bool = False) -> str:
    said = [("--not-this-person", "not this person")]
    if is_doubtful:
        said.insert(0, ("--this-person", "this person"))
    boxes = " ".join(
        f'<label><input type="checkbox" autocomplete="off" data-on="{option}"> {text}</label>' for option, text in said
    )
    sure = f"confidence {face.confidence:.2f}" if is_doubtful else ""
    quality = f"quality {face.quality:.2f}" if face.quality is not None else ""
    facts = "".join(f"<p>{fact}</p>" for fact in (sure, quality) if fact)
    note = f'<p class="note">{text_of(face.crop.note)}</p>' if face.crop.note else ""
    quoted_id = escape(quoted(face.figure_id))
    return f'<li data-quoted="{quoted_id}">{_image(face)}{facts}{note}<p class="ticks">{boxes}</p></li>'


def _crop(face: Face) -> str:
    return f"<li>{_image(face)}</li>"


def _image(face: Face) -> str:
    return (
        f'<div class="frame"><img src="{escape(face.crop.source)}" width="{face.crop.width}" '
        f'height="{face.crop.height}" alt="{text_of(face.figure_id)}" title="{text_of(face.uri)}" loading="lazy" '
        'decoding="async"></div>'
    )


def _commands(person: Person) -> list[tuple[str, str]]:
    """What may be said of a person, ready to copy without a script."""
    update = command("update figures", person.object_id, person.options)
    lines = [("name them", f"{update} --name 'Name'")]
    if person.faces:
        last = quoted((person.doubtful or person.faces)[-1].figure_id)
        lines.append(("the last face is somebody else's", f"{update} --not-this-person {last}"))
    return lines + last_commands("figures", person.object_id, person.options, why="why they are one person")
