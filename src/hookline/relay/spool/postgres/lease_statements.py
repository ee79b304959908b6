"""The statements of leases. docs/explanation/leases.md has the table of transitions, and the reason of each lock.

A process is alive until its row expires, and may still renew its lease while nobody has ended it. It is dead from
the moment at which another process has set `expires` to -infinity. A dead process takes nothing any more, so its
slots can be freed one by one: a slot whose settlement is in progress is left for the next call.

Each call of leases is one message to the server, which commits by itself. A process that is stopped at any moment
therefore holds no lock of a lease, and no statement here waits for a lock that another process's client holds.
"""

from __future__ import annotations

from typing import Final

# The first statement of each transaction that settles. Parameters: slots, epochs, token. Returns those of the slots
# that the process still owns. Their owner cannot change before the transaction ends.
FENCE: Final = """
SELECT s.slot FROM spool.slot s JOIN unnest(%s::int[], %s::bigint[]) AS o (slot, epoch) USING (slot)
WHERE s.process = %s AND s.epoch = o.epoch ORDER BY s.slot FOR SHARE OF s
"""
# The same for a transaction that stores the lines and positions of a reader. Parameters: name, epoch, token.
READER_FENCE: Final = "SELECT 1 FROM spool.reader WHERE name = %s AND epoch = %s AND process = %s FOR SHARE"

# A process joins only while `spool move` does not empty the spool (transfer/exclusive_access.py): these three, in
# this order. LOCK_MOVES waits for the batch of a move, whose lease may be over before. LOCK_JOINS waits for a move
# that begins at this moment, and lets none begin. No other statement of leases waits.
LOCK_MOVES: Final = "SELECT 1 FROM spool.process WHERE kind = 'move' FOR UPDATE"
LOCK_JOINS: Final = "SELECT 1 FROM spool.meta WHERE id = 1 FOR UPDATE"
JOIN: Final = """
INSERT INTO spool.process (token, kind, name, host, pid, started, format, expires)
SELECT %s, %s, %s, %s, %s, %s, %s, clock_timestamp() + make_interval(secs => %s)
WHERE NOT EXISTS (SELECT 1 FROM spool.process WHERE kind = 'move' AND expires > clock_timestamp()) RETURNING token
"""
RENEW: Final = """
UPDATE spool.process SET expires = clock_timestamp() + make_interval(secs => %s)
WHERE token = %s AND expires > '-infinity' RETURNING token
"""

# The four statements that end the processes whose lease is over, in this order.
# `expires` is looked at again after the row is locked: a renewal at the same moment is either seen, or finds a dead
# process. A process that takes slots at this moment has its row locked, and is left for the next call.
END_PROCESSES: Final = """
UPDATE spool.process SET expires = '-infinity' WHERE token = ANY (ARRAY(
  SELECT token FROM spool.process WHERE expires > '-infinity' AND expires <= clock_timestamp()
  FOR UPDATE SKIP LOCKED))
"""
FREE_SLOTS: Final = """
UPDATE spool.slot SET process = NULL, epoch = epoch + 1, since = clock_timestamp() WHERE slot = ANY (ARRAY(
  SELECT s.slot FROM spool.slot s JOIN spool.process p ON p.token = s.process WHERE p.expires = '-infinity'
  ORDER BY s.slot FOR UPDATE OF s SKIP LOCKED))
"""
FREE_READERS: Final = """
UPDATE spool.reader SET process = NULL, epoch = epoch + 1 WHERE name = ANY (ARRAY(
  SELECT r.name FROM spool.reader r JOIN spool.process p ON p.token = r.process WHERE p.expires = '-infinity'
  ORDER BY r.name FOR UPDATE OF r SKIP LOCKED))
"""
# A row remains while something names it. No slot belongs to a process that is not in the table.
REMOVE_PROCESSES: Final = """
DELETE FROM spool.process WHERE token = ANY (ARRAY(
  SELECT p.token FROM spool.process p WHERE p.expires = '-infinity'
  AND NOT EXISTS (SELECT FROM spool.slot s WHERE s.process = p.token)
  AND NOT EXISTS (SELECT FROM spool.reader r WHERE r.process = p.token) FOR UPDATE SKIP LOCKED))
"""
# Each statement must see the commits of those before it, also if the database's default is another isolation level.
_NEW_SNAPSHOTS: Final = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED"
TAKEOVER: Final = ";".join((_NEW_SNAPSHOTS, END_PROCESSES, FREE_SLOTS, FREE_READERS, REMOVE_PROCESSES))
DIE: Final = "UPDATE spool.process SET expires = '-infinity' WHERE token = %s"

# Living processes in the order in which they joined, and the number of slots of each.
SHARES: Final = """
SELECT p.token, (SELECT count(*) FROM spool.slot s WHERE s.process = p.token) FROM spool.process p
WHERE p.expires > clock_timestamp() ORDER BY p.joined
"""
# Only a living process takes something. The lock on its row lets nobody end it before the commit.
# Parameters: token, number.
TAKE: Final = """
WITH me AS MATERIALIZED (
  SELECT token FROM spool.process WHERE token = %s AND expires > clock_timestamp() FOR NO KEY UPDATE
)
UPDATE spool.slot s SET process = me.token, epoch = s.epoch + 1, since = clock_timestamp() FROM me
WHERE s.slot = ANY (ARRAY(
  SELECT slot FROM spool.slot WHERE process IS NULL ORDER BY slot LIMIT %s FOR UPDATE SKIP LOCKED))
"""
OWN: Final = "SELECT slot, epoch FROM spool.slot WHERE process = %s ORDER BY slot"
# Parameters: token, slots. A slot whose settlement is in progress is not given up.
RELEASE: Final = """
UPDATE spool.slot SET process = NULL, epoch = epoch + 1, since = clock_timestamp() WHERE slot = ANY (ARRAY(
  SELECT slot FROM spool.slot WHERE process = %s AND slot = ANY (%s) ORDER BY slot FOR UPDATE SKIP LOCKED))
RETURNING slot
"""
ADD_READER: Final = "INSERT INTO spool.reader (name) VALUES (%s) ON CONFLICT DO NOTHING"
# Parameters: token, name.
TAKE_READER: Final = """
WITH me AS MATERIALIZED (
  SELECT token FROM spool.process WHERE token = %s AND expires > clock_timestamp() FOR NO KEY UPDATE
)
UPDATE spool.reader r SET process = me.token, epoch = r.epoch + 1 FROM me WHERE r.name = ANY (ARRAY(
  SELECT name FROM spool.reader WHERE name = %s AND process IS NULL FOR UPDATE SKIP LOCKED))
"""
OWN_READER: Final = "SELECT epoch FROM spool.reader WHERE process = %s AND name = %s"
