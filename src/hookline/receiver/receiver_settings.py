"""The settings of a receiver."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from hookline.receiver.faults import FaultPlan

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
MAX_RECEIVED_HEAD_BYTES = 16 * 1024
MAX_RECEIVED_BODY_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverSettings:
    """The settings of one run.

    `names` are the names in the certificate. If `jwks` and `hmac_secret_file` are None, tokens are not checked; if
    `signature_secret_file` is None, signatures of bodies are not. `protected` has the prefixes of the paths that
    require a token. `retry_after` is in seconds. `stop_after` is a number of accepted requests; None means no limit.
    """

    host: str = "127.0.0.1"
    port: int = 8443
    tls_dir: Path = Path(".hookline/receive")
    names: tuple[str, ...] = LOCAL_NAMES
    jwks: Path | None = None
    hmac_secret_file: Path | None = None
    signature_secret_file: Path | None = None
    audience: str | None = None
    token_header: str = "authorization"  # noqa: S105 - the name of a header
    protected: tuple[str, ...] = ("/",)
    verify_payload: bool = True
    strict: bool = False
    fault_plan: FaultPlan = field(default_factory=FaultPlan)
    seed: int = 0
    delay: timedelta = timedelta(0)
    retry_after: int | None = None
    stop_after: int | None = None
