"""HTML from Python values. Text is escaped unless it is `Html` already."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

VOID = frozenset({"meta", "br", "hr"})  # elements without content


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


Content = str | Html | Iterable[Html]


def element(name: str, *content: Content, **attributes: str) -> Html:
    """Return an element; `class_` and `aria_label` become `class` and `aria-label`."""
    named = {key.strip("_").replace("_", "-"): value for key, value in attributes.items()}
    said = "".join(f' {key}="{escape(value)}"' for key, value in named.items())
    if name in VOID:
        return Html(f"<{name}{said}>")
    return Html(f"<{name}{said}>{join(*content)}</{name}>")


def join(*content: Content) -> Html:
    return Html("".join(_text(each) for each in content))


def table(caption: str, header: Iterable[str], rows: Iterable[Iterable[Content]]) -> Html:
    """Return a table whose first column names its rows; it scrolls where it is too wide."""
    head = element("tr", (element("th", title, scope="col") for title in header))
    body = (
        element(
            "tr",
            (
                element("th", cell, scope="row") if place == 0 else element("td", cell)
                for place, cell in enumerate(row)
            ),
        )
        for row in rows
    )
    whole = element(
        "table", element("caption", caption), element("thead", head), element("tbody", body)
    )
    return element("div", whole, class_="scroll", tabindex="0", role="region", aria_label=caption)


def _text(content: Content) -> str:
    if isinstance(content, Html):
        return content
    return escape(content) if isinstance(content, str) else "".join(content)
