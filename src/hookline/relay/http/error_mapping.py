"""Maps the exceptions of an attempt to results. No other module does this."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator

from hookline.relay.http.address_policy import AddressRefused
from hookline.relay.http.connection import KeptConnectionBroke
from hookline.relay.http.connector import failed_address
from hookline.relay.http.exchange import Failure, FailureKind, LocalFault, as_fault, one_line
from hookline.relay.http.proxy import ProxyFailed, ProxyRefused
from hookline.relay.http.request import UnfitHeader
from hookline.relay.http.response_head import NotHttp
from hookline.relay.http.tls import describe_tls_error


def map_error(error: BaseException, deadline: float) -> Failure | LocalFault:
    """The result of an attempt that raised `error`. `deadline` is the attempt's time limit in seconds."""
    result = _map(error, deadline)
    if isinstance(result, LocalFault) or (address := failed_address(error)) is None:
        return result
    return Failure(result.kind, result.detail, address, isinstance(error, KeptConnectionBroke))


def _map(error: BaseException, deadline: float) -> Failure | LocalFault:
    # A TimeoutError with a number comes from the system: no host acknowledged a packet.
    if isinstance(error, TimeoutError) and error.errno is None:
        return Failure(FailureKind.TIMEOUT, f"no complete response head within {deadline:g} s")
    if tls := next((cause for cause in _causes(error) if isinstance(cause, ssl.SSLError)), None):
        return Failure(FailureKind.TLS, one_line(describe_tls_error(tls)))
    match error:
        case AddressRefused() | ProxyRefused():
            return as_fault(error)
        case UnfitHeader():
            return LocalFault(one_line(f"the request cannot be sent: {error}"))
        case NotHttp():
            return Failure(FailureKind.NETWORK, one_line(f"no complete HTTP response: {error}"))
        case OSError():
            return Failure(FailureKind.NETWORK, error_text(error))
        case _:
            return Failure(FailureKind.NETWORK, one_line(f"unexpected {type(error).__name__}: {error}"))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def error_text(error: BaseException) -> str:
    """One line on a connection that failed or broke. It uses the operating system's text if there is one."""
    if proxy := next((cause for cause in _causes(error) if isinstance(cause, ProxyFailed)), None):
        return one_line(str(proxy))
    reasons = [reason for cause in _causes(error) if (reason := _system_reason(cause))]
    return one_line(reasons[-1] if reasons else str(error) or "the connection broke")


def _system_reason(error: BaseException) -> str | None:
    """``connection refused``. asyncio replaces strerror with a text of its own, so the number decides."""
    match error:
        case socket.gaierror():
            return f"the name does not resolve: {error.strerror}".lower()
        case OSError(errno=int(number)):
            return os.strerror(number).lower()
        case _:
            return None
