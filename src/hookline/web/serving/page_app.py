"""The ASGI application: routes and access. Pages are rendered in threads, so that none holds up another."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from hookline.observe.log import Log
from hookline.web.page_templates import ASSETS, asset
from hookline.web.serving.page_access import PAGE_SESSION_SECONDS, PageAccess
from hookline.web.serving.page_guard import PageGuard
from hookline.web.site import HtmlPage, PageQuery, Site

_CLOSED: Final = [
    "This page shows an organization's webhooks and deliveries, so it opens with a one-time URL only.",
    "`hookline serve` prints the URL when it starts. It opens one session. To get another one, send the process the "
    "signal HUP: kill -HUP PID.",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class AppSettings:
    """`access` is None on a Unix socket, whose permissions decide. `names` are those of this server in Host headers.

    With `secure`, browsers send the cookie over TLS only.
    """

    access: PageAccess | None
    names: Iterable[str]
    secure: bool

    @property
    def cookie(self) -> str:
        """A browser accepts the prefix only from a secure origin, and for this host alone."""
        return "__Host-hookline" if self.secure else "hookline"


class PageApp:
    """Builds the application. `app` is the ASGI callable."""

    def __init__(self, site: Site, settings: AppSettings, log: Log) -> None:
        self._site = site
        self._settings = settings
        self._log = log
        self._assets = {name: asset(name) for name in ASSETS}
        pages: dict[str, Callable[[PageQuery], HtmlPage]] = {
            "/": site.inventory,
            "/webhook": site.webhook,
            "/lanes": site.lanes,
            "/dead-letters": site.letters,
            "/dead-letter": site.letter,
            "/trace": site.trace,
            "/plan": site.plan,
        }
        routes = [Route(path, self._endpoint(page), methods=["GET"]) for path, page in pages.items()]
        routes += [
            Route("/open/{token}", self._open, methods=["GET"]),
            Route("/assets/{name}", self._asset, methods=["GET"]),
        ]
        handlers = {404: self._not_found, 405: self._not_allowed}
        app = Starlette(routes=routes, exception_handlers=handlers)
        app.router.redirect_slashes = False  # the redirect would name the request's Host, also to a closed page
        self.app = PageGuard(app, settings.names, log)

    def _endpoint(self, page: Callable[[PageQuery], HtmlPage]) -> Callable[[Request], object]:
        async def endpoint(request: Request) -> Response:
            if (refused := self._without_session(request)) is not None:
                return refused
            try:
                rendered = await run_in_threadpool(page, _query(request))
            except Exception as bug:  # an error in a page must not look like an empty page
                self._log.warning("page failed", page=request.url.path, reason=f"{type(bug).__name__}: {bug}")
                texts = ["The page cannot be shown because of an internal error. The log has the reason."]
                rendered = self._site.message(HTTPStatus.INTERNAL_SERVER_ERROR, "Internal error", texts)
            return _response(rendered)

        return endpoint

    def _without_session(self, request: Request) -> Response | None:
        access = self._settings.access
        if access is None or access.admits(request.cookies.get(self._settings.cookie)):
            return None
        return _response(self._site.message(HTTPStatus.FORBIDDEN, "Not open", _CLOSED))

    async def _open(self, request: Request) -> Response:
        if request.method != "GET":  # a preview of the link must not use it up
            return await self._not_allowed(request, None)
        access = self._settings.access
        session = None if access is None else access.open_session(request.path_params["token"])
        if access is not None and session is None:
            self._log.warning("session refused", reason="the one-time URL is unknown, used or too old")
            return _response(self._site.message(HTTPStatus.FORBIDDEN, "Not open", _CLOSED))
        response = _response(self._site.opened())
        if session is not None:
            self._log.info("session opened")
            response.set_cookie(
                self._settings.cookie,
                session,
                max_age=int(PAGE_SESSION_SECONDS),
                path="/",
                secure=self._settings.secure,
                httponly=True,
                samesite="strict",
            )
        return response

    async def _asset(self, request: Request) -> Response:
        """Files without any facts: a page that asks for a session needs them too."""
        name = request.path_params["name"]
        if name not in self._assets:
            return await self._not_found(request, None)
        return Response(self._assets[name], HTTPStatus.OK, media_type=ASSETS[name])

    async def _not_found(self, request: Request, _: Exception | None) -> Response:
        if (refused := self._without_session(request)) is not None:
            return refused
        return _response(self._site.message(HTTPStatus.NOT_FOUND, "No such page", ["This page does not exist."]))

    async def _not_allowed(self, request: Request, _: Exception | None) -> Response:
        allowed = "GET" if request.url.path.startswith("/open/") else "GET, HEAD"
        return PlainTextResponse("The page is read-only.", HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": allowed})


def _response(page: HtmlPage) -> Response:
    return HTMLResponse(page.html, page.status)


def _query(request: Request) -> PageQuery:
    """The values of the query. PostgreSQL refuses a text with NUL."""
    return {name: value.replace("\0", "\N{REPLACEMENT CHARACTER}") for name, value in request.query_params.items()}
