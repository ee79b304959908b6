"""The templates of the pages. Every value is escaped twice: invisible characters as in quoted YAML, then for HTML."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Final

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape

from hookline.escaping import printable, printable_lines
from hookline.web.links import PageLinks

ASSETS: Final[Mapping[str, str]] = {
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


class PageTemplates:
    """Renders pages with the links of a server, or of files beside each other.

    `shared` are values that every template sees.
    """

    def __init__(self, links: PageLinks, **shared: Any) -> None:
        folder = files("hookline.web") / "templates"
        self._environment = Environment(
            loader=FunctionLoader(lambda name: (folder / name).read_text(encoding="utf-8")),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=_visible,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters |= {
            "lines": _lines,
            "breakable": _breakable,
            "age": _age,
            "number": _number,
            "size": _size,
        }
        self._environment.globals |= {"links": links, **shared}

    def render(self, name: str, **values: Any) -> str:
        return self._environment.get_template(name).render(**values)


def asset(name: str) -> bytes:
    """The content of one of ASSETS."""
    return (files("hookline.web") / "assets" / name).read_bytes()


def _visible(value: object) -> object:
    """The text of a value without invisible characters. A Markup is a text that is safe already."""
    if value is None:
        return ""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _lines(text: str) -> Markup:
    """A text of several lines."""
    return escape(printable_lines(text))


def _breakable(text: str) -> Markup:
    """A long name or address, which may be broken behind a slash."""
    return Markup(str(escape(printable(text))).replace("/", "/<wbr>"))  # noqa: S704 - it is escaped


def _age(seconds: float | None) -> str:
    """``3 s``, ``12 min``, ``5.2 h``, ``3.1 d``."""
    if seconds is None:
        return "–"  # noqa: RUF001 - an en dash: nothing to show
    for unit, size in (("d", 86_400), ("h", 3600)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"


def _number(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"  # noqa: RUF001 - as above


def _size(size_bytes: int) -> str:
    return f"{size_bytes:,} bytes"
