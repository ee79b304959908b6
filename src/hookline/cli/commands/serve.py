"""`hookline serve`: the read-only page, or its pages as files."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from hookline.cli.options import (
    LISTEN,
    HeadedCommand,
    LocationOption,
    ParsedParameter,
    PathParameter,
    choice_option,
    examples,
    headed,
    parse_time_or_age,
    spool_option,
    state_option,
)
from hookline.cli.output.standard_streams import put_work_first
from hookline.cli.output.yaml_writer import as_yaml
from hookline.cli.plan_of_files import plan_of_files
from hookline.cli.progress.progress import progress_bar
from hookline.cli.status.drain_text import drain_cell, drain_sentence
from hookline.cli.status.status_report import read_drain, read_limits
from hookline.config.loader import load
from hookline.errors import HooklineError, WrongUse
from hookline.observe.http_server import is_loopback
from hookline.observe.log import Log
from hookline.plan.deletion_guard import DeletionLimits
from hookline.plan.plan import Plan
from hookline.plan.policy_check import OverrideRequest
from hookline.settings import repository_url
from hookline.state.factory import open_state, without_password

if TYPE_CHECKING:  # they need the extra
    from hookline.web.serving.page_server import PageEndpoint
    from hookline.web.site import SiteSources
    from hookline.web.source_link import SourceLink

_FILE = click.Path(path_type=Path, dir_okay=False)


def _source_link(text: str) -> SourceLink:
    from hookline.web.source_link import SourceLink  # noqa: PLC0415 - only if it is given

    return SourceLink.parse(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Serving:
    """The options of a server."""

    endpoint: PageEndpoint
    listen_names: tuple[str, ...]
    behind_proxy: bool
    log: Log


@click.command(
    cls=HeadedCommand,
    epilog=examples(
        "hookline serve --config webhooks",
        "hookline serve --socket /run/hookline/page.sock",
        "hookline serve --listen 0.0.0.0:9470 --behind-proxy --listen-name hooks.acme.example",
        "hookline serve --export site --config webhooks",
        exits="0 stopped, or all files are written, 1 it cannot listen or write, 6 the directory contains files, "
        "8 the state cannot be used",
    ),
)
@headed(
    "Contents",
    state_option,
    spool_option,
    click.option(
        "--config",
        cls=LocationOption,
        type=PathParameter(path_type=Path),
        envvar="HOOKLINE_CONFIG",
        help="Also show the plan of this configuration directory.",
    ),
    click.option(
        "--source-url",
        type=ParsedParameter("url", _source_link),
        help="The address of a webhook file at a commit, with {commit}, {file} and {line}. Default: that of the CI "
        "job's repository, if it runs in one.",
    ),
    click.option(
        "--show-recipients",
        is_flag=True,
        help="Show payloads and rejected lines, which contain recipients' addresses. Without it, recipients in other "
        "texts are masked.",
    ),
)
@headed(
    "Address",
    click.option(
        "--listen", default="127.0.0.1:9470", type=LISTEN, help="The address to listen on. Port 0: any free port."
    ),
    click.option(
        "--socket",
        "socket_path",
        type=_FILE,
        help="Listen on this Unix socket instead, which only you can open. It needs no one-time URL.",
    ),
    click.option("--tls-certificate", type=_FILE, help="Serve over TLS with this certificate chain, in PEM."),
    click.option("--tls-key", type=_FILE, help="The private key of the certificate, in PEM."),
    click.option(
        "--behind-proxy",
        is_flag=True,
        help="A proxy serves the page over TLS and forwards to --listen. Name the host of its address with "
        "--listen-name.",
    ),
    click.option(
        "--listen-name",
        "listen_names",
        multiple=True,
        metavar="NAME",
        help="A name by which browsers call this server (repeatable). Requests for another name are refused.",
    ),
)
@headed(
    "Output",
    click.option(
        "--export",
        type=PathParameter(path_type=Path, file_okay=False),
        metavar="DIR",
        help="Write the pages as files to this new directory, and end.",
    ),
    choice_option("--log-format", forms=("text", "json"), help="The format of log lines."),
)
def serve_command(
    *,
    state: str,
    spool: str,
    config: Path | None,
    source_url: SourceLink | None,
    show_recipients: bool,
    listen: tuple[str, int],
    socket_path: Path | None,
    tls_certificate: Path | None,
    tls_key: Path | None,
    behind_proxy: bool,
    listen_names: tuple[str, ...],
    export: Path | None,
    log_format: Literal["text", "json"],
) -> None:
    """Serve a read-only page: inventory, each webhook as applied with its history, lanes, dead letters, traces, plan.

    Prints a one-time URL, which opens a session in one browser. On SIGHUP it prints another one. An address that
    other machines can reach needs a certificate, or a proxy that has one. With --export it writes the same pages as
    files instead, for example for a CI artifact. Ends on Ctrl-C or SIGTERM.

    It needs the extra hookline[web]: the packages jinja2, starlette and uvicorn.
    """
    put_work_first()
    if export is not None and show_recipients:
        raise WrongUse("--export never writes recipients", hint="leave out --show-recipients")
    _require_transport_security(listen, tls_certificate, tls_key, socket_path, behind_proxy=behind_proxy)
    if behind_proxy and not listen_names:
        hint = "name the host of the page's address: --listen-name hooks.acme.example"
        raise WrongUse("--behind-proxy needs --listen-name", hint=hint)
    _require_extra()
    sources = _sources(state, spool, config, source_url, show_recipients=show_recipients)
    if export is not None:
        _export(sources, export)
        return
    from hookline.web.serving.page_server import PageEndpoint  # noqa: PLC0415 - needs the extra

    endpoint = PageEndpoint(listen=listen, path=socket_path, certificate=tls_certificate, key=tls_key)
    log = Log(partial(click.echo, nl=False, err=True), level="info", format=log_format, clock=time.time)
    _serve(sources, _Serving(endpoint=endpoint, listen_names=listen_names, behind_proxy=behind_proxy, log=log))


def _require_transport_security(
    listen: tuple[str, int],
    certificate: Path | None,
    key: Path | None,
    socket_path: Path | None,
    *,
    behind_proxy: bool,
) -> None:
    """Raise WrongUse if the page would cross a network in clear text, or for options that contradict each other."""
    if (certificate is None) != (key is None):
        raise WrongUse("--tls-certificate and --tls-key belong together", hint="give both, or none")
    if socket_path is not None and (certificate is not None or behind_proxy):
        raise WrongUse("--socket needs neither a certificate nor --behind-proxy", hint="leave out one of them")
    if socket_path is None and certificate is None and not behind_proxy and not is_loopback(listen[0]):
        raise WrongUse(
            f"--listen {listen[0]}: other machines can reach it, and the page would cross the network in clear text",
            hint="listen on 127.0.0.1, give --tls-certificate and --tls-key, or --behind-proxy if a proxy has one",
        )


def _require_extra() -> None:
    try:
        import jinja2  # noqa: F401, PLC0415 - only this command needs them
        import starlette  # noqa: F401, PLC0415
        import uvicorn  # noqa: F401, PLC0415
    except ImportError as missing:
        raise HooklineError(
            f"the packages for the page cannot be loaded: {missing}",
            hint="install them in hookline's environment: pip install jinja2 starlette uvicorn, or pipx inject "
            "hookline jinja2 starlette uvicorn",
        ) from missing


def _sources(
    state: str, spool: str, config: Path | None, source_url: SourceLink | None, *, show_recipients: bool
) -> SiteSources:
    from hookline.web.applied_state_reader import AppliedStateReader  # noqa: PLC0415 - needs the extra
    from hookline.web.plan_reader import PlanReader  # noqa: PLC0415
    from hookline.web.site import SiteSources  # noqa: PLC0415
    from hookline.web.spool_reader import SpoolReader  # noqa: PLC0415

    known = repository_url()
    return SiteSources(
        state=AppliedStateReader(open_state(state), without_password(state)),
        spool=SpoolReader(spool, partial(read_drain, applied=partial(read_limits, state))),
        plan=None if config is None else PlanReader(partial(_plan, config, state, spool), str(config)),
        as_yaml=as_yaml,
        drain_text=drain_cell,
        drain_sentence=drain_sentence,
        parse_time=parse_time_or_age,
        source_link=source_url or (None if known is None else _source_link(known)),
        show_recipients=show_recipients,
    )


def _plan(config: Path, state: str, spool: str) -> Plan:
    """As `hookline plan`."""
    return plan_of_files(
        load(config), config, state, spool, policy_file=None, limits=DeletionLimits(), overrides=OverrideRequest()
    )


def _export(sources: SiteSources, directory: Path) -> None:
    from hookline.web.links import FileLinks  # noqa: PLC0415 - needs the extra
    from hookline.web.page_export import write_site  # noqa: PLC0415
    from hookline.web.site import Site  # noqa: PLC0415

    with progress_bar("writing pages") as on_file:
        count = write_site(Site(sources, FileLinks()), directory, on_file)
    click.echo(f"Wrote {count:,} files to {directory}; begin with {directory / 'index.html'}.")


def _serve(sources: SiteSources, serving: _Serving) -> None:
    from hookline.web.links import ServedLinks  # noqa: PLC0415 - needs the extra
    from hookline.web.serving.page_access import PageAccess  # noqa: PLC0415
    from hookline.web.serving.page_app import AppSettings, PageApp  # noqa: PLC0415
    from hookline.web.serving.page_server import page_socket, page_url, serve_pages  # noqa: PLC0415
    from hookline.web.site import Site  # noqa: PLC0415

    endpoint, log = serving.endpoint, serving.log
    sources.state.read()  # a wrong --state is reported now
    site = Site(sources, ServedLinks())
    site.inventory({})  # the first page is then as quick as the next ones
    with page_socket(endpoint) as listening:
        access = PageAccess() if endpoint.path is None else None
        own_names = (socket.gethostname(), endpoint.listen[0], *serving.listen_names)
        secure = serving.behind_proxy or endpoint.certificate is not None
        settings = AppSettings(access=access, names=(name.lower() for name in own_names), secure=secure)
        app = PageApp(site, settings, log)

        def announce() -> None:
            if access is None:
                forward = f"ssh -L 9470:{endpoint.path} HOST, then http://localhost:9470/"
                click.echo(f"the page is at the socket {endpoint.path}; from another machine: {forward}", err=True)
                return
            name = next(iter(serving.listen_names), None)
            url = page_url(listening, endpoint, name, behind_proxy=serving.behind_proxy)
            click.echo(f"open once, within an hour: {url}/open/{access.new_token()}", err=True)

        asyncio.run(serve_pages(app.app, listening, endpoint, log, announce=announce))
    print("stopped", file=sys.stderr)
