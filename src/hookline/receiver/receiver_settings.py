"""What a receiver is told on start, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from hookline.receiver.faults import FaultPlan

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
# Bytes.
MAX_RECEIVED_HEAD_BYTES = 16 * 1024
MAX_RECEIVED_BODY_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverSettings:
    """`names` is what the certificate is for; `jwks` and `hmac_secret_file` None mean that tokens are not checked,
    `signature_secret_file` None that signatures of bodies are not.

    `protected`: the beginnings of the paths that ask for a token; others are open. `retry_after` is in seconds.
    `stop_after` counts accepted requests; None means to go on until told to stop.
    """

    host: str = "127.0.0.1"
    port: int = 8443
    tls_dir: Path = Path(".hookline/receive")
    names: tuple[str, ...] = LOCAL_NAMES
    record: Path | None = None
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
