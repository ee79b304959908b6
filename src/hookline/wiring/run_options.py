"""The options of a relay run, and the machine on which it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random, SystemRandom

from hookline.descriptors import raise_descriptor_limit
from hookline.model import FileRef, SecretRef, Webhook
from hookline.relay.clock import RelayClock
from hookline.relay.delivery.attempt import Endpoint
from hookline.relay.http.address_policy import NetworkRules
from hookline.relay.http.proxy import Proxy
from hookline.relay.relay import RelaySettings
from hookline.relay.secrets import SecretResolver
from hookline.relay.sources.source import LineSource, Position


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayOptions:
    """The options of a relay run. `sources` are paths, patterns, directories, or ``-`` for standard input, or the
    address of a distributed log.

    Links that were found by listing may end below `links_below`. `source_credentials`, `source_certificate` and
    `source_key` identify the relay to a distributed log. `listen` is the host and port of metrics, health and
    status, `listen_names` are further names of that host. Metrics have labels for at most `metrics_webhooks`
    webhooks. `name` is that of the relays that read the same files with a shared spool, one at a time. With
    `delivers_only`, the relay reads nothing and runs until it is stopped.
    """

    state: str
    spool: str | Path
    sources: Sequence[str]
    settings: RelaySettings
    resolver: SecretResolver
    rules: NetworkRules
    ca_file: Path | None = None
    proxy: Proxy | None = None
    follow: bool = False
    from_start: bool = False
    links_below: Sequence[Path] = ()
    source_credentials: SecretRef | None = None
    source_certificate: FileRef | None = None
    source_key: FileRef | None = None
    allow_empty: bool = False
    transport: str = "engine"
    listen: tuple[str, int] | None = None
    listen_names: Sequence[str] = ()
    metrics_webhooks: int = 1000
    name: str = ""
    delivers_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The things that a relay takes from the machine on which it runs. A simulation passes its own.

    `descriptor_limit` prepares the limit of file descriptors and returns it. `open_source` opens the input, given the
    checkpoints; None: the sources of the options. `make_endpoint` creates the endpoint of an applied webhook; None:
    an HttpEndpoint.
    """

    clock: RelayClock = field(default_factory=RelayClock)
    random: Random = field(default_factory=SystemRandom)
    descriptor_limit: Callable[[], int] = raise_descriptor_limit
    open_source: Callable[[Iterable[Position]], LineSource] | None = None
    make_endpoint: Callable[[Webhook], Endpoint] | None = None
