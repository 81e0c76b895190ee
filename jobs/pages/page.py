"""Pages that people review clusters on: HTML that needs nothing but itself, written cluster by cluster.

Everything that comes from the lake is escaped, and a page's own policy lets nothing run or load but what is here. What
people tick, or write, of the clusters (`section`) is gathered as commands: `data-command` of the section, then of each
box that they changed `data-on` or `data-off`, and of each text `data-on` and the text; of what is in a list, also
`data-quoted` of the entry.
"""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Iterable, Sequence
from html import escape

from catalog.terminal import printable


def page_head(title: str, facts: Iterable[str], *, hint: str, style: str = "") -> str:
    """What stands above the clusters. `style` is what the page has beside what all pages have."""
    style = _STYLE + style
    policy = f"default-src 'none'; img-src data:; style-src {_digest(style)}; script-src {_digest(_SCRIPT)}"
    listed = "".join(f"<li>{text_of(fact)}</li>" for fact in facts)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n<meta name="color-scheme" content="light dark">\n'
        f"<title>{text_of(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n"
        f'<header><h1>{text_of(title)}</h1><ul class="facts">{listed}</ul>'
        f'<p class="js-only">{text_of(hint)}</p></header>\n<main>\n'
    )


def page_foot(*, empty: str = "") -> str:
    """What stands below the clusters. `empty` says that there are none."""
    none = f"<p>{text_of(empty)}</p>\n" if empty else ""
    return (
        f"{none}</main>\n"
        '<aside id="bar" hidden aria-label="Commands"><p><output id="count"></output> '
        '<button type="button" id="copy">Copy commands</button></p>'
        '<textarea id="commands" readonly rows="3" spellcheck="false" aria-label="Commands to copy"></textarea>'
        "</aside>\n"
        f"<script>{_SCRIPT}</script>\n</body>\n</html>\n"
    )


def command(verb: str, object_id: str, options: Sequence[str]) -> str:
    """A command about a cluster. `options` are those that every command about it needs (--lake, --project)."""
    return " ".join(["lakealbum", verb, object_id, *map(quoted, options)])


def command_list(lines: Iterable[tuple[str, str]]) -> str:
    """Commands to copy without a script: each as a comment that says what for, then the command."""
    told = "\n".join(f'<span class="why"># {text_of(why)}</span>\n{escape(said)}' for why, said in lines)
    return f"<details><summary>Commands</summary><pre>{told}</pre></details>"


def last_commands(kind: str, object_id: str, options: Sequence[str], *, why: str) -> list[tuple[str, str]]:
    """What may be said of a cluster of any kind, or asked; `why` is what its explanation tells."""
    return [
        ("hide them", command(f"delete {kind}", object_id, options)),
        (why, command("explain", object_id, options)),
        ("all files", command("query files --cluster", object_id, options)),
    ]


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


def text_of(text: str) -> str:
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
function quoted(text) {
  return "'" + text.replace(/\\p{C}/gu, "").replaceAll("'", `'"'"'`) + "'";
}
function gather() {
  const lines = [];
  let changes = 0;
  for (const section of document.querySelectorAll("section")) {
    const words = [];
    for (const box of section.querySelectorAll("input")) {
      if (box.type === "text") {
        if (box.value !== box.defaultValue) words.push(box.dataset.on + " " + quoted(box.value));
      } else if (box.checked !== box.defaultChecked) {
        const said = box.checked ? box.dataset.on : box.dataset.off;
        words.push(said + " " + box.closest("[data-quoted]").dataset.quoted);
      }
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
