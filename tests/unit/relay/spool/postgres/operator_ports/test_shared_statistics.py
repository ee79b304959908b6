"""How the status of a shared spool is counted."""

from __future__ import annotations

import psycopg

from hookline.relay.spool.postgres.operator_ports import shared_statistics
from shared_spool import SCHEMA, SharedSpoolDatabase

WEBHOOKS, DELIVERIES = 100, 20_000
_ADD_WEBHOOKS = f"""
INSERT INTO spool.webhook (organization, sandbox, slot) SELECT 'acme', g, 0 FROM generate_series(1, {WEBHOOKS}) g
"""
_FILL = f"""
INSERT INTO spool.delivery (seq, id, slot, webhook, state, since, settled, request_id, channel, status, source, line,
  reason, http, body)
SELECT nextval('{SCHEMA}.delivery_seq'), decode(md5(g::text), 'hex'), 0, g % {WEBHOOKS} + 1,
  g / {WEBHOOKS} % 5 / 4 * 2, g, g, 'r', 'email', 'sent', 's', g, 'http 422', 422,
  convert_to(repeat('x', 600), 'UTF8')
FROM generate_series(1, {DELIVERIES}) g
"""


def test_a_long_backlog_is_read_once() -> None:
    """Deliveries of all webhooks are mixed in the table. A count for each webhook would read its pages once for each,
    which takes many seconds for a backlog that does not fit into the server's memory."""
    database = SharedSpoolDatabase()
    database.execute(_ADD_WEBHOOKS, _FILL)
    ((pages,),) = database.execute(f"SELECT pg_relation_size('{SCHEMA}.delivery') / 8192")
    statement = database.store.connection().sql(shared_statistics._WEBHOOKS)
    with psycopg.connect(database.url()) as connection:
        explain = b"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + statement
        (((plan,),),) = connection.execute(explain, (1e6,)).fetchall()
    read = plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]
    assert pages < 4 * read < 12 * pages
    status = database.store.statistics().spool_status(now=1e6)
    assert [(160, 40)] * WEBHOOKS == [(one.pending, one.dead) for one in status.webhooks]
