"""The review page of similar images: HTML that needs nothing but itself, written cluster by cluster.

Everything that comes from the lake is escaped, and the page's own policy lets nothing run or load but what is here.
"""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import PurePosixPath
from urllib.parse import unquote

from catalog.terminal import printable
from jobs.similar_images.thumbnails import Thumbnail

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


def page_head(title: str, facts: Iterable[str]) -> str:
    """What stands above the clusters."""
    policy = f"default-src 'none'; img-src data:; style-src {_digest(_STYLE)}; script-src {_digest(_SCRIPT)}"
    listed = "".join(f"<li>{_text(fact)}</li>" for fact in facts)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n<meta name="color-scheme" content="light dark">\n'
        f"<title>{_text(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f'<header><h1>{_text(title)}</h1><ul class="facts">{listed}</ul>'
        '<p class="js-only">Tick what to keep, and what is not similar to the others; the commands that say so to the '
        "lake gather at the foot of the page.</p></header>\n<main>\n"
    )


def page_foot(is_empty: bool) -> str:
    """What stands below the clusters."""
    none = "<p>There are no similar images to review.</p>\n" if is_empty else ""
    return (
        f"{none}</main>\n"
        '<aside id="bar" hidden aria-label="Commands"><p><output id="count"></output> '
        '<button type="button" id="copy">Copy commands</button></p>'
        '<textarea id="commands" readonly rows="3" spellcheck="false" aria-label="Commands to copy"></textarea>'
        "</aside>\n"
        f"<script>{_SCRIPT}</script>\n</body>\n</html>\n"
    )


def group_section(group: Group, number: int) -> str:
    """A cluster."""
    heading = f"{group.files:,} {NOUNS.get(group.kind, group.kind)}"
    about = [heading] if group.title else []
    about += [f"dataset {group.dataset}", f"updated {group.updated}"]
    cards = "".join(_card(picture, picture.uri == group.cover_uri) for picture in group.pictures)
    left = group.files - len(group.pictures)
    more = f'<p class="more">and {left:,} more: the command below lists all</p>' if left > 0 else ""
    update = _command("update similar-images", group)
    return (
        f'<section aria-labelledby="c{number}" data-command="{escape(update)}">'
        f'<h2 id="c{number}">{_text(group.title or heading)}</h2>'
        f'<p class="about">{_text(" · ".join(about))} · <code>{_text(group.object_id)}</code></p>'
        f'<ul class="pictures">{cards}</ul>{more}'
        f"<details><summary>Commands</summary><pre>{_commands(group)}</pre></details></section>\n"
    )


def quoted(text: str) -> str:
    r"""A word for a POSIX shell. Control characters, which could end a terminal's pasting, are spelled out for bash.

    >>> print(quoted("it's.jpg"), quoted("a\x1b[201~'"))
    'it'"'"'s.jpg' $'a\x1b[201~\''
    """
    if text.isprintable():
        return shlex.quote(text)
    return "$'" + "".join(map(_spelled, text)) + "'"


def _spelled(character: str) -> str:
    if character.isprintable():
        return "\\" + character if character in "\\'" else character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x80 else f"\\U{code:08x}"


def _card(picture: Picture, is_cover: bool) -> str:
    name = PurePosixPath(unquote(picture.uri.rstrip("/"))).name or picture.uri
    marks = [mark for mark, holds in (("best", picture.best), ("cover", is_cover), ("kept", picture.kept)) if holds]
    badges = "".join(f'<span class="{mark}">{mark}</span>' for mark in marks)
    small = picture.thumbnail
    note = f'<p class="note">{_text(small.note)}</p>' if small.note else ""
    facts = "".join(f"<p>{_text(fact)}</p>" for fact in (picture.size, picture.taken) if fact)
    return (
        f'<li class="{"best" if picture.best else "other"}" data-quoted="{escape(quoted(picture.uri))}"><figure>'
        f'<div class="frame"><img src="{escape(small.source)}" width="{small.width}" height="{small.height}" '
        f'alt="{_text(name)}" loading="lazy" decoding="async"><p class="badges">{badges}</p></div><figcaption>'
        f'<p class="name" title="{_text(picture.uri)}">{_text(name)}</p>'
        f'<p class="score"><meter min="0" max="1" value="{picture.score:.3f}" aria-hidden="true"></meter> '
        f"score {picture.score:.2f}</p>"
        f'<p class="relation">{_text(picture.kind)}{_text(": " + picture.relation) if picture.relation else ""}</p>'
        f'{facts}{note}<p class="uri">{_text(picture.uri)}</p></figcaption></figure>'
        f'<p class="ticks"><label><input type="checkbox" autocomplete="off" data-on="--keep" data-off="--unkeep"'
        f"{' checked' if picture.kept else ''}> keep</label> "
        '<label><input type="checkbox" autocomplete="off" data-on="--not-similar"> not similar</label></p></li>'
    )


def _commands(group: Group) -> str:
    """What may be said of a cluster, ready to copy without a script: a comment, then a command."""
    update = _command("update similar-images", group)
    lines = []
    if group.pictures:
        first = next((picture for picture in group.pictures if picture.best), group.pictures[0])
        best, last = quoted(first.uri), quoted(group.pictures[-1].uri)
        lines += [("keep the best", f"{update} --keep {best}")]
        lines += [("the last does not belong to them", f"{update} --not-similar {last}")]
    lines += [
        ("give them a title", f"{update} --title 'Title'"),
        ("hide them", _command("delete similar-images", group)),
        ("why they are together", _command("explain", group)),
        ("all files", _command("query files --cluster", group)),
    ]
    return "\n".join(f'<span class="why"># {_text(why)}</span>\n{escape(command)}' for why, command in lines)


def _command(verb: str, group: Group) -> str:
    return " ".join(["lakealbum", verb, group.object_id, *map(quoted, group.options)])


def _text(text: str) -> str:
    """Text that cannot be taken for HTML, nor play with what is around it."""
    return escape(printable(text))


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


_STYLE = """
:root{color-scheme:light dark;--page:#f6f6f4;--card:#fff;--ink:#1d1d1b;--soft:#62625c;--line:#dcdcd6;--frame:#ecece8;
--best:#0b6b3a;--kept:#1a56b0;--accent:#1a56b0;--amiss:#a8480f}
@media(prefers-color-scheme:dark){:root{--page:#161615;--card:#21211f;--ink:#ececea;--soft:#a3a39c;--line:#3a3a36;
--frame:#2b2b28;--best:#1d8f55;--kept:#3b7be0;--accent:#8ab4ff;--amiss:#f0a06a}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.45 system-ui,sans-serif;
padding-bottom:env(safe-area-inset-bottom)}
header,main{max-width:100rem;margin:0 auto;padding:1rem clamp(.75rem,2vw,2rem)}
h1{font-size:1.6rem;margin:.25rem 0}h2{font-size:1.1rem;margin:0}
p{margin:0}
.facts{display:flex;flex-wrap:wrap;gap:.2rem 1.25rem;list-style:none;margin:.25rem 0 .5rem;padding:0;color:var(--soft);
overflow-wrap:anywhere}
section{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:.9rem;margin:0 0 1rem;
content-visibility:auto;contain-intrinsic-size:auto 32rem}
.about{color:var(--soft);font-size:.85rem;overflow-wrap:anywhere}
.pictures{list-style:none;margin:.75rem 0 0;padding:0;display:grid;gap:.9rem;
grid-template-columns:repeat(auto-fill,minmax(min(9.5rem,100%),1fr))}
@media(min-width:40rem){.pictures{grid-template-columns:repeat(auto-fill,minmax(14rem,1fr))}}
.pictures>li{display:flex;flex-direction:column;min-width:0}
figure{margin:0;flex:1}
.frame{position:relative;aspect-ratio:4/3;background:var(--frame);border-radius:.4rem;overflow:hidden;display:grid}
.frame img{width:100%;height:100%;object-fit:contain;min-height:0}
.best .frame{outline:3px solid var(--best);outline-offset:1px}
.badges{position:absolute;top:.4rem;left:.4rem;display:flex;gap:.3rem}
.badges span{color:#fff;background:#555;font-size:.72rem;font-weight:600;padding:.05rem .5rem;border-radius:1rem}
.badges .best{background:var(--best)}.badges .kept{background:var(--kept)}
figcaption{padding:.45rem 0 .2rem;font-size:.85rem}
.name{font-weight:600;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.score{white-space:nowrap}meter{width:4rem;height:.8rem;vertical-align:-.05rem}
figcaption p:not(.name,.score,.note){color:var(--soft)}
figcaption .note{color:var(--amiss)}
.uri{font-size:.72rem;overflow-wrap:anywhere;display:-webkit-box;-webkit-box-orient:vertical;-webkit-line-clamp:2;
overflow:hidden}
.ticks{display:flex;flex-wrap:wrap;gap:.2rem 1rem;font-size:.9rem;padding-top:.2rem}
.ticks label{display:flex;align-items:center;gap:.35rem;min-height:2rem;cursor:pointer}
input{width:1.05rem;height:1.05rem;accent-color:var(--accent);margin:0}
.more{margin-top:.6rem;color:var(--soft)}
details{margin-top:.7rem;font-size:.85rem}summary{cursor:pointer;color:var(--accent);padding:.25rem 0;width:max-content}
pre{margin:.25rem 0 0;padding:.6rem;background:var(--frame);border-radius:.4rem;overflow-x:auto;font-size:.78rem}
.why{color:var(--soft)}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
#bar{position:sticky;bottom:0;background:var(--card);border-top:2px solid var(--accent);padding:.6rem 1rem}
#bar[hidden]{display:none}
#bar p{display:flex;gap:1rem;align-items:center;flex-wrap:wrap;margin:0 0 .4rem}
#bar textarea{width:100%;font:12px/1.4 ui-monospace,monospace;background:var(--frame);color:inherit;
border:1px solid var(--line);border-radius:.4rem;padding:.4rem;white-space:pre;overflow:auto}
button{font:inherit;padding:.35rem .9rem;border-radius:.4rem;border:0;background:var(--accent);color:var(--card);
cursor:pointer}
html:not(.js) .js-only,html:not(.js) .ticks{display:none}
@media print{#bar,.ticks,details,.js-only{display:none}section{break-inside:avoid}}
"""

_SCRIPT = """
document.documentElement.classList.add("js");
const bar = document.getElementById("bar"), out = document.getElementById("commands");
function gather() {
  const lines = [];
  let changes = 0;
  for (const section of document.querySelectorAll("section")) {
    const words = [];
    for (const box of section.querySelectorAll("input")) {
      if (box.checked === box.defaultChecked) continue;
      words.push((box.checked ? box.dataset.on : box.dataset.off) + " " + box.closest("li").dataset.quoted);
    }
    changes += words.length;
    if (words.length) lines.push(section.dataset.command + " " + words.join(" "));
  }
  out.value = lines.join("\\n");
  document.getElementById("count").value = changes + (changes === 1 ? " change" : " changes");
  bar.hidden = !changes;
}
document.addEventListener("change", (event) => {
  const box = event.target;
  if (box.checked && box.closest(".ticks")) {
    for (const other of box.closest(".ticks").querySelectorAll("input")) if (other !== box) other.checked = false;
  }
  gather();
});
document.getElementById("copy").addEventListener("click", async (event) => {
  const button = event.target;
  try {
    await navigator.clipboard.writeText(out.value);
  } catch {
    out.select();
    document.execCommand("copy");
  }
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy commands"; }, 1500);
});
"""
