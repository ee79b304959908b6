"""The settings of the transactions of a relay on a shared spool. They end with the transaction, so that a pooler may
run the next one in another session."""

from __future__ import annotations

from typing import Final

from hookline.relay.spool.postgres.spool_connection import TRANSACTION_PART_OF_LEASE, SpoolConnection, Step

# Statistics of a table that was just filled are wrong, so plans must not depend on them: each statement reads a few
# rows by an index.
_SET: Final = """
SELECT set_config('statement_timeout', %(wait)s, true), set_config('enable_seqscan', 'off', true),
  set_config('idle_in_transaction_session_timeout', %(wait)s, true), set_config('jit', 'off', true),
  set_config('enable_mergejoin', 'off', true)
"""
_SET_FROM_17: Final = f"{_SET}, set_config('transaction_timeout', %(wait)s, true)"
_UNSYNCED: Final = ", set_config('synchronous_commit', 'off', true)"


def settings_step(connection: SpoolConnection, *, synced: bool = True) -> Step:
    """The first statement of a transaction. It ends within a third of a lease, also if its client stops.

    Unless `synced`, a crash of the server may lose the transaction within half a second after it.
    """
    milliseconds = max(1, round(1000 * connection.lease_seconds * TRANSACTION_PART_OF_LEASE))
    statement = _SET_FROM_17 if connection.has_transaction_timeout else _SET
    return statement if synced else statement + _UNSYNCED, {"wait": str(milliseconds)}
