"""The pages as HTML: each method reads what its page shows, and renders it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from hookline.canonical import Document
from hookline.errors import HooklineError, Unusable, WrongUse
from hookline.escaping import without_recipients
from hookline.model import Address, Channel, FeedbackStatus
from hookline.observe.drain import DrainForecast
from hookline.relay.delivery_record import DeadLetter
from hookline.relay.spool.admin import Count, Filter
from hookline.state.store import Stored
from hookline.web.applied_state_reader import AppliedStateReader, AppliedWebhooks
from hookline.web.inventory_view import inventory_rows, matching
from hookline.web.lanes_view import lane_rows, lane_webhooks, spool_summary
from hookline.web.letters_view import (
    LETTER_FILTERS,
    MAX_LETTER_PAGES,
    LetterPageEnd,
    letter_filter,
    letter_row,
    whole_letter,
)
from hookline.web.links import PageLinks
from hookline.web.page_templates import PageTemplates
from hookline.web.paging import ROWS_PER_PAGE, RowsOfPage, page_number, rows_of_page
from hookline.web.plan_reader import PlanReader
from hookline.web.plots import plots_by_webhook, plots_of_all
from hookline.web.source_link import SourceLink
from hookline.web.spool_reader import SpoolReader, SpoolView
from hookline.web.trace_view import traced_events, traced_lines
from hookline.web.webhook_view import MAX_HISTORY_ROWS, blame_rows, history_rows

FILE_POLICY: Final = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'"
MAX_SEARCH_CHARACTERS: Final = 500

PageQuery = Mapping[str, str]


class HtmlPage(NamedTuple):
    status: HTTPStatus
    html: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteSources:
    """What the pages show.

    `plan` is None without a configuration directory. `as_yaml` writes a document as a webhook file, `parse_time`
    reads a time or an age as Unix seconds. `drain_text` and `drain_sentence` write a forecast for one webhook and for
    the spool.
    """

    state: AppliedStateReader
    spool: SpoolReader
    plan: PlanReader | None
    as_yaml: Callable[[Document], str]
    parse_time: Callable[[str], float]
    drain_text: Callable[[DrainForecast], str]
    drain_sentence: Callable[[DrainForecast], str]
    source_link: SourceLink | None = None
    show_recipients: bool = False


def _unmasked(text: str) -> str:
    return text


class Site:
    """The pages, with the links of a server or of files."""

    def __init__(self, sources: SiteSources, links: PageLinks) -> None:
        self.sources = sources
        self.links = links
        self._mask = _unmasked if sources.show_recipients else without_recipients
        self._templates = PageTemplates(
            links, menu=self._menu(), shows_recipients=sources.show_recipients, file_policy=FILE_POLICY
        )

    def _menu(self) -> list[tuple[str, str, str]]:
        links = self.links
        entries = [
            ("inventory", "Inventory", links.inventory()),
            ("lanes", "Lanes", links.lanes()),
            ("letters", "Dead letters", links.letters()),
            ("trace", "Trace", links.trace()),
            ("plan", "Plan", None if self.sources.plan is None else links.plan()),
        ]
        return [(key, label, target) for key, label, target in entries if target is not None]

    # -- the pages

    def inventory(self, query: PageQuery) -> HtmlPage:
        search = _searched(query)
        values: dict[str, Any] = {"here": "inventory", "search": search, "failure": None}
        try:
            applied = self.sources.state.read()
        except HooklineError as failure:
            return self._page("inventory.html", values | {"failure": failure})
        spool, spool_failure = self._spool_if_usable()
        found = rows_of_page(matching(applied, search), page_number(query.get("page")))
        rows = list(inventory_rows(list(found.rows), applied, spool, self.sources.source_link))
        shown = RowsOfPage(rows, found.number, found.pages, found.total)
        neighbours = _neighbours(found, lambda number: self.links.inventory(number, search))
        more = {"rows": shown, "snapshot": applied.snapshot, "spool_failure": spool_failure, **neighbours}
        return self._page("inventory.html", values | more)

    def webhook(self, query: PageQuery) -> HtmlPage:
        text = query.get("address", "")
        values: dict[str, Any] = {"here": "inventory", "address": text, "failure": None}
        try:
            applied = self.sources.state.read()
        except HooklineError as failure:
            return self._page("webhook.html", values | {"failure": failure})
        stored = _find(applied, text)
        if stored is None:
            unknown = HooklineError(f"no webhook is applied for {text}", hint="the inventory lists every webhook")
            return self._page("webhook.html", values | {"failure": unknown})
        spool, _ = self._spool_if_usable()
        link, changes = self.sources.source_link, applied.changes_of(stored.webhook.address)
        (row,) = inventory_rows([stored], applied, spool, link)
        try:
            blame, blame_failure = blame_rows(stored, changes, link), ""
        except ValueError as broken:
            blame, blame_failure = None, str(broken)
        more = {
            "row": row,
            "document": self.sources.as_yaml(stored.document),
            "blame": blame,
            "blame_failure": blame_failure,
            "history": history_rows(changes, link),
            "older": max(0, len(changes) - MAX_HISTORY_ROWS),
        }
        return self._page("webhook.html", values | more)

    def lanes(self, query: PageQuery) -> HtmlPage:
        search = _searched(query)
        values: dict[str, Any] = {"here": "lanes", "search": search, "failure": None}
        try:
            view, hour = self.sources.spool.view(), self.sources.spool.hour()
        except HooklineError as failure:
            return self._page("lanes.html", values | {"failure": failure})
        found = rows_of_page(lane_webhooks(view, search), page_number(query.get("page")))
        forecasts = {webhook: self.sources.drain_text(one) for webhook, one in hour.drain.webhooks.items()}
        plots = plots_by_webhook(hour.activity, hour.minute)
        rows = list(lane_rows(found.rows, view, mask=self._mask, plots=plots, forecasts=forecasts))
        forecast = self.sources.drain_sentence(hour.drain.whole) if hour.drain.webhooks else None
        neighbours = _neighbours(found, lambda number: self.links.lanes(number, search))
        more = {
            "rows": rows,
            "pages": found,
            "summary": spool_summary(view, forecast),
            "whole": plots_of_all(hour.activity, hour.minute),
            **neighbours,
        }
        return self._page("lanes.html", values | more)

    def letters(self, query: PageQuery) -> HtmlPage:
        filters = {name: query.get(name, "")[:MAX_SEARCH_CHARACTERS] for name in LETTER_FILTERS}
        values: dict[str, Any] = {
            "here": "letters",
            "filters": filters,
            "filtered": any(filters.values()),
            "channels": [*map(str, Channel)],
            "statuses": [*map(str, FeedbackStatus)],
            "failure": None,
        }
        number = 1 if self.links.live else min(page_number(query.get("page")), MAX_LETTER_PAGES)
        try:
            chosen = letter_filter(filters, self.sources.parse_time)
            key = LetterPageEnd.parse(query["after"]) if query.get("after") else None
            skip = (number - 1) * ROWS_PER_PAGE if key is None else key.shown
            letters, count = self.sources.spool.newest_letters(chosen, ROWS_PER_PAGE + 1, skip=skip, after=key)
        except (HooklineError, ValueError) as failure:
            found = failure if isinstance(failure, HooklineError) else WrongUse(str(failure))
            return self._page("dead_letters.html", values | {"failure": found})
        return self._page("dead_letters.html", values | self._letter_rows(letters, count, number, filters, key))

    def _letter_rows(
        self,
        letters: Sequence[DeadLetter],
        count: Count,
        number: int,
        filters: Mapping[str, str],
        key: LetterPageEnd | None,
    ) -> dict[str, Any]:
        """The values of a page, whose letters have one more than the page if others follow.

        Files are pages with numbers. A server's pages are found by the end of the page before: new letters would move
        the rows of a page with a number.
        """
        pages = min(MAX_LETTER_PAGES, max(1, -(-count.total // ROWS_PER_PAGE)))
        shown, follows = letters[:ROWS_PER_PAGE], len(letters) > ROWS_PER_PAGE
        rows = RowsOfPage([letter_row(one, self._mask) for one in shown], number, pages, count.total)
        if not self.links.live:
            is_last = number == MAX_LETTER_PAGES and follows
            neighbours = _neighbours(rows, lambda page: self.links.letters(page, filters))
            return {"rows": rows, "count": count, "last_page": is_last, **neighbours}
        end = LetterPageEnd.of_page(shown, key) if follows else None
        is_last = end is not None and not end.is_usable
        return {
            "rows": rows,
            "count": count,
            "last_page": is_last,
            "previous": self.links.letters(1, filters) if key is not None else None,
            "following": self.links.letters(1, filters, str(end)) if end is not None and not is_last else None,
        }

    def letter(self, query: PageQuery) -> HtmlPage:
        identity = query.get("id", "")
        values: dict[str, Any] = {"here": "letters", "identity": identity, "failure": None}
        try:
            found, _ = self.sources.spool.newest_letters(Filter(ids=(identity,)), 1) if identity else ((), None)
        except HooklineError as failure:
            return self._page("dead_letter.html", values | {"failure": failure})
        if not found:  # also when the letter was replayed a moment ago
            unknown = HooklineError(f"no dead letter has the id {identity!r}", hint="the list shows all ids")
            return self._page("dead_letter.html", values | {"failure": unknown})
        letter = whole_letter(found[0], self._mask, with_body=self.sources.show_recipients)
        trace = self.links.trace(letter.request_id) if letter.request_id else None
        return self._page("dead_letter.html", values | {"letter": letter, "trace": trace})

    def trace(self, query: PageQuery) -> HtmlPage:
        identity = query.get("id", "").strip()[:MAX_SEARCH_CHARACTERS]
        values: dict[str, Any] = {"here": "trace", "identity": identity, "failure": None, "events": (), "lines": ()}
        if not identity:
            return self._page("trace.html", values)
        try:
            found, view = self.sources.spool.trace(identity), self.sources.spool.view()
        except HooklineError as failure:
            return self._page("trace.html", values | {"failure": failure})
        shown = self.sources.show_recipients
        events = traced_events(found, view.processes, now=time.time(), mask=self._mask, with_body=shown)
        lines = traced_lines(found, mask=self._mask, with_body=shown)
        return self._page("trace.html", values | {"events": events, "lines": lines})

    def plan(self, query: PageQuery) -> HtmlPage:  # noqa: ARG002 - every page gets its query
        if self.sources.plan is None:
            texts = ["The page was started without a configuration directory: `hookline serve --config webhooks`."]
            return self.message(HTTPStatus.NOT_FOUND, "No plan", texts)
        values: dict[str, Any] = {"here": "plan", "place": self.sources.plan.place, "failure": None, "plan": None}
        try:
            return self._page("plan.html", values | {"plan": self.sources.plan.read()})
        except HooklineError as failure:
            return self._page("plan.html", values | {"failure": failure})

    def message(self, status: HTTPStatus, title: str, texts: list[str]) -> HtmlPage:
        """A page with a few sentences."""
        values = {"here": None, "title": title, "texts": texts, "target": self.links.inventory()}
        return HtmlPage(status, self._templates.render("message.html", **values, target_label="Inventory"))

    def opened(self) -> HtmlPage:
        """The page that follows a one-time URL.

        It leads on by itself. A redirect would carry the origin of the first click, which may be another site, and a
        browser sends a SameSite=Strict cookie only if the navigation begins here.
        """
        return HtmlPage(HTTPStatus.OK, self._templates.render("opened.html"))

    def _spool_if_usable(self) -> tuple[SpoolView | None, HooklineError | None]:
        try:
            return self.sources.spool.view(), None
        except HooklineError as failure:
            return None, failure

    def _page(self, template: str, values: Mapping[str, Any]) -> HtmlPage:
        return HtmlPage(_status(values["failure"]), self._templates.render(template, **values))


def _status(failure: HooklineError | None) -> HTTPStatus:
    if failure is None:
        return HTTPStatus.OK
    if isinstance(failure, Unusable):
        return HTTPStatus.SERVICE_UNAVAILABLE
    return HTTPStatus.BAD_REQUEST if isinstance(failure, WrongUse) else HTTPStatus.NOT_FOUND


def _find(applied: AppliedWebhooks, text: str) -> Stored | None:
    try:
        return applied.snapshot.webhooks.get(Address.parse(text))
    except ValueError:
        return None


def _searched(query: PageQuery) -> str:
    return query.get("q", "").strip()[:MAX_SEARCH_CHARACTERS]


def _neighbours(found: RowsOfPage[Any], link: Callable[[int], str]) -> dict[str, str | None]:
    return {
        "previous": link(found.number - 1) if found.number > 1 else None,
        "following": link(found.number + 1) if found.number < found.pages else None,
    }
