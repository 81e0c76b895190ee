"""What the page of similar images (jobs.pages.page) shows: clusters of pictures side by side, the best first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import PurePosixPath
from urllib.parse import unquote

from jobs.pages.page import command, command_list, last_commands, quoted, text_of
from jobs.pages.thumbnails import Thumbnail

HINT = (
    "Tick what to keep, and what is not similar to the others; the commands that say so to the lake gather at the foot "
    "of the page."
)
NOUNS = {
    "copies": "copies",
    "burst": "pictures of a burst",
    "near-duplicates": "near-duplicates",
    "shots": "files of a shot",
}


@dataclass(frozen=True)
class Picture:
    """A member as the page shows it; texts may be empty where a thing is not known."""

    uri: str
    thumbnail: Thumbnail
    score: float
    kind: str
    relation: str
    size: str
    taken: str
    kept: bool
    best: bool


@dataclass(frozen=True)
class Group:
    """A cluster as the page shows it: the pictures that come with it, the best first, of `files` in all.

    `options` are those that every command about it needs (--lake, --project).
    """

    object_id: str
    title: str | None
    dataset: str
    kind: str
    files: int
    updated: str
    cover_uri: str
    pictures: Sequence[Picture]
    options: Sequence[str]


def group_section(group: Group, number: int) -> str:
    """A cluster."""
    heading = f"{group.files:,} {NOUNS.get(group.kind, group.kind)}"
    about = [heading] if group.title else []
    about += [f"dataset {group.dataset}", f"updated {group.updated}"]
    cards = "".join(_card(picture, picture.uri == group.cover_uri) for picture in group.pictures)
    left = group.files - len(group.pictures)
    more = f'<p class="more">and {left:,} more: the command below lists all</p>' if left > 0 else ""
    update = command("update similar-images", group.object_id, group.options)
    return (
        f'<section aria-labelledby="c{number}" data-command="{escape(update)}">'
        f'<h2 id="c{number}">{text_of(group.title or heading)}</h2>'
        f'<p class="about">{text_of(" · ".join(about))} · <code>{text_of(group.object_id)}</code></p>'
        f'<ul class="pictures">{cards}</ul>{more}'
        f"{_commands(group)}</section>\n"
    )


def _card(picture: Picture, is_cover: bool) -> str:
    name = PurePosixPath(unquote(picture.uri.rstrip("/"))).name or picture.uri
    marks = [mark for mark, holds in (("best", picture.best), ("cover", is_cover), ("kept", picture.kept)) if holds]
    badges = "".join(f'<span class="{mark}">{mark}</span>' for mark in marks)
    small = picture.thumbnail
    note = f'<p class="note">{text_of(small.note)}</p>' if small.note else ""
    facts = "".join(f"<p>{text_of(fact)}</p>" for fact in (picture.size, picture.taken) if fact)
    return (
        f'<li class="{"best" if picture.best else "other"}" data-quoted="{escape(quoted(picture.uri))}"><figure>'
        f'<div class="frame"><img src="{escape(small.source)}" width="{small.width}" height="{small.height}" '
        f'alt="{text_of(name)}" loading="lazy" decoding="async"><p class="badges">{badges}</p></div><figcaption>'
        f'<p class="name" title="{text_of(picture.uri)}">{text_of(name)}</p>'
        f'<p class="score"><meter min="0" max="1" value="{picture.score:.3f}" aria-hidden="true"></meter> '
        f"score {picture.score:.2f}</p>"
        f'<p class="relation">{text_of(picture.kind)}{text_of(": " + picture.relation) if picture.relation else ""}</p>'
        f'{facts}{note}<p class="uri">{text_of(picture.uri)}</p></figcaption></figure>'
        f'<p class="ticks"><label><input type="checkbox" autocomplete="off" data-on="--keep" data-off="--unkeep"'
        f"{' checked' if picture.kept else ''}> keep</label> "
        '<label><input type="checkbox" autocomplete="off" data-on="--not-similar"> not similar</label></p></li>'
    )


def _commands(group: Group) -> str:
    """What may be said of a cluster, ready to copy without a script: a comment, then a command."""
    update = command("update similar-images", group.object_id, group.options)
    lines = []
    if group.pictures:
        first = next((picture for picture in group.pictures if picture.best), group.pictures[0])
        best, last = quoted(first.uri), quoted(group.pictures[-1].uri)
        lines += [("keep the best", f"{update} --keep {best}")]
        lines += [("the last does not belong to them", f"{update} --not-similar {last}")]
    lines.append(("give them a title", f"{update} --title 'Title'"))
    lines += last_commands("similar-images", group.object_id, group.options, why="why they are together")
    return command_list(lines)
