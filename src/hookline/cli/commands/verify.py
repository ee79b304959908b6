"""`hookline verify`: check one recorded request."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import click

from hookline.cli.completions import complete_files
from hookline.cli.options import examples
from hookline.cli.output.colour import coloured
from hookline.errors import HooklineError, WrongUse
from hookline.escaping import printable
from hookline.exit_codes import ExitCode
from hookline.receiver.next_steps import Checked, next_step
from hookline.receiver.recorded_request import RecordedRequest, find_record
from hookline.receiver.signature_verifier import SignatureVerifier, read_signature_keys
from hookline.receiver.verification import PayloadCheck, TokenVerifier, read_keys
from hookline.units import utc_text

_FILE = click.Path(path_type=Path, dir_okay=False)
_Result = Literal[True] | str | None


@click.command(
    epilog=examples(
        "hookline verify received.ndjson --jwks acme.jwks.json --audience feedback-receiver",
        "hookline verify - --signature-secret-file signature.txt < request.ndjson",
        exits="0 valid, 1 not valid, or the file or a key cannot be read",
    )
)
@click.argument("file", metavar="FILE|-", shell_complete=complete_files)
@click.option("--line", type=click.IntRange(min=1), metavar="N", help="The line of the request. Default: the last.")
@click.option("--jwks", type=_FILE, help="Check the token with this JWK Set (from: hookline jwks).")
@click.option("--hmac-secret-file", type=_FILE, help="Check an HS256, HS384 or HS512 token with this secret.")
@click.option("--audience", metavar="TEXT", help="The audience (aud) that the token must have.")
@click.option("--token-header", default="Authorization", help="The header that carries the token.")
@click.option(
    "--signature-secret-file",
    type=_FILE,
    help="Check webhook-signature with the secrets in this file: one whsec_… or whpk_… per line.",
)
def verify_command(
    *,
    file: str,
    line: int | None,
    jwks: Path | None,
    hmac_secret_file: Path | None,
    audience: str | None,
    token_header: str,
    signature_secret_file: Path | None,
) -> int:
    """Check one request that `hookline receive --record` has written: token, signature and payload.

    For each part that is not valid, the command shows the reason and the next step. Times are compared with the time
    at which the request arrived, so an old record stays valid. A part without a key is not checked.
    """
    if audience is not None and jwks is None and hmac_secret_file is None:
        raise WrongUse("--audience needs a key", hint="give the key of the token: --jwks or --hmac-secret-file")
    record = _read(file, line)
    request, clock = record.request, lambda: record.at
    path = request.path.partition("?")[0]  # the query may contain a secret
    place = f"{'standard input' if file == '-' else file}:{record.line}"
    click.echo(f"{place}  {utc_text(record.at, 'milliseconds')}  {printable(f'{request.method} {path}')}")
    if request.method != "POST" or request.body is None:
        reason = "only POST is supported" if request.body is not None else "its body was too large to be recorded"
        click.echo(f"request    {_refused(reason)}")
        return ExitCode.FAILED
    token: _Result = None
    if jwks is not None or hmac_secret_file is not None:
        verifier = TokenVerifier(read_keys(jwks, hmac_secret_file), audience=audience, clock=clock)
        token = verifier.check(request.headers.get(token_header.lower()))
    signature: _Result = None
    if signature_secret_file is not None:
        signature = SignatureVerifier(read_signature_keys(signature_secret_file), clock=clock).check(request)
    valid = [
        _show("token", token, "--jwks or --hmac-secret-file"),
        _show("signature", signature, "--signature-secret-file"),
        _show("payload", PayloadCheck().check(request.body), ""),
    ]
    return ExitCode.DONE if all(valid) else ExitCode.FAILED


def _read(file: str, line: int | None) -> RecordedRequest:
    try:
        if file == "-":
            return find_record(sys.stdin.buffer, line)
        with Path(file).open("rb") as opened:
            return find_record(opened, line)
    except OSError as error:
        raise HooklineError(f"{file} cannot be read: {error.strerror or error}", hint="check the path") from error
    except ValueError as error:
        hint = "record requests with: hookline receive --record FILE"
        raise HooklineError(f"{file}: {printable(str(error))}", hint=hint) from error


def _show(checked: Checked, result: _Result, option: str) -> bool:
    """Print the result of one part, and return whether nothing is wrong with it."""
    if isinstance(result, str):
        click.echo(f"{checked:<9}  {_refused(printable(result))}\n  hint: {next_step(checked, result)}")
        return False
    text = coloured("valid", "green") if result else f"not checked: no key is given ({option})"
    click.echo(f"{checked:<9}  {text}")
    return True


def _refused(reason: str) -> str:
    return f"{coloured('not valid', 'red')}: {reason}"
