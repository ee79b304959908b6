-- A spool as the first format of hookline wrote it: one delivery waits, one was delivered, one webhook is disabled.
PRAGMA application_id = 1751870576;
PRAGMA user_version = 1;
CREATE TABLE tally (what TEXT PRIMARY KEY, n INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE position (
  device INTEGER NOT NULL, inode INTEGER NOT NULL, name TEXT NOT NULL, line INTEGER NOT NULL,
  offset INTEGER NOT NULL, head_length INTEGER NOT NULL, head_hash BLOB NOT NULL, at REAL NOT NULL,
  PRIMARY KEY (device, inode)
) STRICT, WITHOUT ROWID;
CREATE TABLE webhook (
  n INTEGER PRIMARY KEY, organization TEXT NOT NULL, sandbox TEXT NOT NULL, held REAL,
  UNIQUE (organization, sandbox)
) STRICT;
CREATE TABLE delivery (
  seq INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, webhook INTEGER NOT NULL, state INTEGER NOT NULL DEFAULT 0,
  due REAL, order_key INTEGER, attempts INTEGER NOT NULL DEFAULT 0, tries INTEGER NOT NULL DEFAULT 0,
  refusals INTEGER NOT NULL DEFAULT 0, since REAL NOT NULL, settled REAL, request_id TEXT NOT NULL,
  channel TEXT NOT NULL, status TEXT NOT NULL, event_time TEXT, source TEXT NOT NULL, line INTEGER NOT NULL,
  reason TEXT, http INTEGER, body BLOB
) STRICT;
CREATE INDEX delivery_fresh ON delivery (webhook, seq) WHERE state = 0 AND due IS NULL;
CREATE INDEX delivery_due ON delivery (webhook, due) WHERE state = 0 AND due IS NOT NULL;
CREATE INDEX delivery_order ON delivery (order_key, seq) WHERE state = 0 AND order_key IS NOT NULL;
CREATE INDEX delivery_dead ON delivery (webhook, settled) WHERE state = 2;
CREATE INDEX delivery_done ON delivery (settled) WHERE state IN (1, 3);
CREATE TABLE rejected (
  n INTEGER PRIMARY KEY, at REAL NOT NULL, source TEXT NOT NULL, line INTEGER NOT NULL, part INTEGER NOT NULL,
  reason TEXT NOT NULL, length INTEGER NOT NULL, sha256 BLOB NOT NULL, data BLOB NOT NULL,
  again INTEGER NOT NULL DEFAULT 0, UNIQUE (source, line, part, sha256)
) STRICT;
CREATE INDEX rejected_again ON rejected (n) WHERE again = 1;
INSERT INTO tally VALUES ('read', 2), ('delivered', 1), ('attempts', 1);
INSERT INTO position VALUES (1, 2, 'events', 2, 80, 40, x'00', 1000.0);
INSERT INTO webhook VALUES (1, 'acme', 'prod', NULL), (2, 'other', 'prod', 1000.0);
INSERT INTO delivery (seq, id, webhook, since, request_id, channel, status, source, line, body)
  VALUES (1, CAST('0123456789abcdef' AS BLOB), 1, 1000.0, 'request-waiting', 'email', 'sent', 'events', 1, CAST('waiting' AS BLOB));
INSERT INTO delivery (seq, id, webhook, state, attempts, since, settled, request_id, channel, status, source, line)
  VALUES (2, CAST('fedcba9876543210' AS BLOB), 1, 1, 1, 1000.0, 1001.0, 'request-done', 'email', 'sent', 'events', 2);
