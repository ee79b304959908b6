"""`hookline jwks`: print a webhook's public keys for receivers."""

from __future__ import annotations

import time
from typing import assert_never

import click

from hookline.cli.applied_state import find, read_applied, resolver_for
from hookline.cli.completions import complete_addresses
from hookline.cli.options import examples, secrets_options, state_option
from hookline.cli.output.json_output import print_json
from hookline.errors import HooklineError
from hookline.model import JwtAuthentication, NoAuthentication
from hookline.relay.auth.jwks import jwk_set, public_signature_keys
from hookline.relay.secrets import SecretResolver


@click.command(
    epilog=examples(
        "hookline jwks ACME@AdobeOrg/prod > jwks.json",
        exits="0 done, 1 no such webhook, no public keys, or a key cannot be read, 8 the state cannot be used",
    )
)
@click.argument("address", metavar="ORG/SANDBOX", shell_complete=complete_addresses)
@click.option(
    "--signature", is_flag=True, help="Print the public keys of the body signature instead: one whpk_… per line."
)
@state_option
@secrets_options
def jwks_command(*, address: str, signature: bool, state: str, resolver: SecretResolver) -> None:
    """Print the public halves of an applied webhook's keys as a JWK Set.

    The receiver verifies tokens with it. It contains all keys that are not retired, in the order of the file, so
    that a new key can be published before it signs. Symmetric keys (HS256 …) have no public half and are refused.
    """
    snapshot = read_applied(state)
    webhook = find(snapshot, address).webhook
    resolver = resolver_for(snapshot, resolver)
    if signature:
        for line in public_signature_keys(webhook, resolver, time.time()):
            click.echo(line)
        return
    match webhook.authentication:
        case JwtAuthentication() as authentication:
            keys = jwk_set(authentication, resolver, webhook.address.organization, time.time())
            print_json(keys)
        case NoAuthentication():
            raise HooklineError(
                f"{webhook.address} sends no tokens: its authentication has the type none",
                hint="set authentication.type to jwt, and apply the change",
            )
        case _:
            assert_never(webhook.authentication)
