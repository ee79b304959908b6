"""The table of hostile inputs: what somebody may put before hookline, and the refusal that it gets.

A row has what is put before it, how that meets hookline (tests/hostile/meeting.py), and how what hookline then says
begins or what stands in it. An input that once got through belongs in here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trustme

from contract.https_server import AUTHORITY, HOST, OK, sends
from contract.test_misbehaviour import CHUNKED, SMUGGLED, answers, endlessly
from hookline.canonical import digest
from hookline.model import EnvRef, FileRef
from hostile.meeting import (
    DOCUMENT,
    PLANTED,
    certificate,
    dead_letter_shown,
    dead_letters,
    dns_answer,
    event_line,
    event_time,
    field,
    file_name,
    plan_file,
    policy_file,
    proxy_answer,
    refused_file_name,
    response,
    secret,
    secret_value,
    state_file,
    url,
    webhook_file,
)
from unusual_certificates import EDI_PARTY_NAME, X400_ADDRESS, of_version_4, with_name

NOW = datetime.now(UTC)
ESC = "\x1b]0;owned\x07\x1b[2J"


class Row(NamedTuple):
    meets: Callable[[Any, Path], str]
    what: Any
    refusal: str


def yaml(**fields: object) -> bytes:
    """A sound webhook file in JSON, which is YAML, but for these."""
    return json.dumps({**DOCUMENT, **fields}).encode()


def creation(after: dict[str, Any], **changed: object) -> bytes:
    """A plan that creates one webhook, with a fingerprint that fits: as one forges it who has read the source."""
    change: dict[str, Any] = {
        "address": "ACME@AdobeOrg/prod", "action": "create", "movedFrom": None,
        "source": {"file": "webhooks/prod.yaml", "line": 1},
        "before": None, "after": after, "beforeHash": None, "fields": [], "blocked": None, "pending": None,
    }  # fmt: skip
    sealed = digest([{key: change[key] for key in ("address", "action", "movedFrom", "beforeHash", "after")}])
    summary = {"create": 1, "update": 0, "delete": 0, "move": 0, "unchanged": 0, "blocked": 0}
    plan = {
        "formatVersion": 1,
        "lineage": None,
        "serial": 0,
        "fingerprint": sealed,
        "changes": [change],
        "violations": [],
    }
    return json.dumps({**plan, "summary": summary, **changed}).encode()


def required(schema: object, **definitions: object) -> bytes:
    """A policy with one rule."""
    rule = {"id": "r", "message": "m", "require": {"properties": {"name": schema}}}
    return json.dumps({"version": 1, "rules": [rule], "$defs": definitions}).encode()


def letter(**changed: object) -> bytes:
    """An exported dead letter that is sound but for these."""
    whole = {
        "hookline": "dead-letter", "version": 1, "id": "line-1", "reason": "not JSON", "source": "log", "line": 1,
        "part": 0, "time": "2026-01-01T00:00:00Z", "bytes": 1, "sha256": sha256(b"x").hexdigest(), "text": "x",
    }  # fmt: skip
    return json.dumps({**whole, **changed}).encode() + b"\n"


SYSLOG = b"Oct 10 01:23:46 mx1 postfix/smtp[1]: A1: "

ROWS: dict[str, Row] = {
    # -- webhook files: somebody opens a pull request
    "file: a Python object": Row(
        webhook_file, b"!!python/object/apply:os.system ['id']", "5 webhooks/prod.yaml:1:1: error[HL013]: tag"
    ),
    "file: an alias of an alias": Row(
        webhook_file, b"a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "error[HL010]: c[1]: alias *b"
    ),
    "file: a merge key": Row(webhook_file, b"a: &a {b: c}\nd: {<<: *a}\n", "error[HL011]: d: merge key"),
    "file: 50,000 open brackets": Row(
        webhook_file, b"[" * 50_000, "5 webhooks/prod.yaml:1:51: error[HL006]: nested deeper than 50 levels"
    ),
    "file: 2 MiB": Row(
        webhook_file, b"# " + b"x" * 2**21, "5 webhooks/prod.yaml:2:1: error[HL005]: document larger than 1 MiB"
    ),
    "file: a key twice": Row(
        webhook_file, yaml()[:-1] + b', "url": "https://evil.test/"}', 'error[HL007]: key "url" is written twice'
    ),
    "file: an unknown key": Row(field("verify", False), None, 'unknown key "verify"'),
    "file: TLS without verification": Row(
        field("delivery", {"tls": {"verify": False}}), None, 'unknown key "verify"'
    ),
    "file: a terminal's commands in a name": Row(
        webhook_file, f"name: {ESC}".encode(), "error[HL003]: invisible character U+001B (control character)"
    ),
    "file: bytes that are no UTF-8": Row(webhook_file, b"name: \xff\xfe", "error[HL002]: byte 0xff is not UTF-8"),
    "file: UTF-16": Row(webhook_file, "name: x".encode("utf-16"), "error[HL002]: the file is UTF-16 or UTF-32 text"),
    "file: a key for no algorithm": Row(
        field("authentication", {"type": "jwt", "algorithm": "none", "keys": []}), None, "authentication.algorithm"
    ),
    "file: a claim in place of a registered one": Row(
        field(
            "authentication",
            {
                "type": "jwt",
                "algorithm": "ES256",
                "claims": {"aud": "elsewhere"},
                "keys": [{"id": "a", "secret": {"file": "k"}}],
            },
        ),
        None,
        "authentication.claims.aud",
    ),
    # -- headers in them
    "header: a line break": Row(
        field("headers", {"X": "a\r\nX-Other: b"}),
        None,
        "error[HL041]: headers.X: the value contains a carriage return",
    ),
    "header: NUL": Row(field("headers", {"X": "a\x00"}), None, "error[HL041]: headers.X: the value contains a NUL"),
    "header: a break in its name": Row(field("headers", {"X\r\nY": "a"}), None, "error[HL040]"),
    "header: host": Row(
        field("headers", {"Host": "internal"}), None, 'error[HL042]: headers.Host: "Host" is reserved'
    ),
    "header: transfer-encoding": Row(
        field("headers", {"Transfer-Encoding": "chunked"}), None, "error[HL042]: headers.Transfer-Encoding"
    ),
    "header: content-length": Row(
        field("headers", {"Content-Length": "0"}), None, "error[HL042]: headers.Content-Length"
    ),
    "header: proxy-authorization": Row(
        field("headers", {"Proxy-Authorization": {"file": "a"}}), None, "error[HL042]: headers.Proxy-Authorization"
    ),
    "header: webhook-id": Row(field("headers", {"webhook-id": "1"}), None, "error[HL042]: headers.webhook-id"),
    "header: a secret in plain sight": Row(
        field("headers", {"X-Api-Key": PLANTED}),
        None,
        "error[HL045]: headers.X-Api-Key: the value looks like a secret",
    ),
    # -- secrets that they reach for
    "secret: the relay's own environment": Row(
        field("headers", {"X": {"env": "AWS_SECRET_ACCESS_KEY"}}), None, "error[HL050]"
    ),
    "secret: a path that leads out": Row(field("headers", {"X": {"file": "../../etc/shadow"}}), None, "error[HL051]"),
    "secret: a variable, past validation": Row(
        secret, EnvRef("PATH"), "fault secret {env: PATH}: the name does not begin with"
    ),
    "secret: another team's variable": Row(
        secret, EnvRef("HOOKLINE_SECRET_OTHER_ADOBEORG__KEY"), "does not begin with HOOKLINE_SECRET_ACME_ADOBEORG__"
    ),
    "secret: another team's file": Row(secret, FileRef("OTHER@AdobeOrg/key"), "the path leads out of"),
    "secret: dots": Row(secret, FileRef("ACME@AdobeOrg/../OTHER@AdobeOrg/key"), "the path leads out of"),
    "secret: an absolute path": Row(secret, FileRef("/etc/passwd"), "the path leads out of"),
    "secret: /proc": Row(secret, FileRef("/proc/self/environ"), "the path leads out of"),
    "secret: a link": Row(secret, FileRef("ACME@AdobeOrg/link"), "the path leads out of"),
    "secret: NUL in a path": Row(secret, FileRef("ACME@AdobeOrg/key\0.pem"), "the path contains a NUL character"),
    "secret: a file that everybody can read": Row(
        secret, FileRef("ACME@AdobeOrg/open"), "open can be read by everybody (mode 0644)"
    ),
    "secret: a pipe": Row(secret, FileRef("ACME@AdobeOrg/pipe"), "not a regular file"),
    "secret: a huge file": Row(secret, FileRef("ACME@AdobeOrg/huge"), "larger than 64 KiB"),
    "secret: a value with a line break": Row(
        secret_value, "a\r\nX-Other: b", "cannot be sent: it contains a line end"
    ),
    # -- URLs
    "url: plain HTTP": Row(url, "http://hooks.acme.test/", "error[HL012]"),
    "url: a file": Row(url, "file:///etc/passwd", "error[HL012]"),
    "url: gopher": Row(url, "gopher://127.0.0.1:6379/_FLUSHALL", "error[HL012]"),
    "url: credentials": Row(url, f"https://user:{PLANTED}@hooks.acme.test/", "error[HL031]"),
    "url: a host before the @": Row(url, "https://hooks.acme.test@evil.test/", "error[HL031]"),
    "url: a fragment": Row(url, "https://hooks.acme.test/#@evil.test", "error[HL032]"),
    "url: loopback": Row(url, "https://127.0.0.1/", "error[HL033]"),
    "url: an address in one number": Row(url, "https://2130706433/", "error[HL033]"),
    "url: an address in octal": Row(url, "https://0177.0.0.1/", "error[HL033]"),
    "url: an address in hexadecimal": Row(url, "https://0x7f.1/", "error[HL033]"),
    "url: IPv6": Row(url, "https://[::ffff:169.254.169.254]/", "error[HL033]"),
    "url: full-width digits": Row(url, "https://\uff11\uff12\uff17.0.0.1/", "error[HL033]"),
    "url: a line break": Row(
        url, "https://hooks.acme.test/\r\nHost: internal", 'error[HL030]: url: "\\r" is not allowed in a URL'
    ),
    "url: a backslash": Row(url, "https://hooks.acme.test\\@evil.test/", "error[HL031]"),
    "url: port 0": Row(url, "https://hooks.acme.test:0/", "error[HL034]"),
    "url: a secret in the query": Row(url, f"https://hooks.acme.test/?api_key={PLANTED}", "error[HL035]"),
    # -- what a name server says
    "dns: loopback": Row(dns_answer, ["127.0.0.1"], f"fault refused address of {HOST}: 127.0.0.1 is loopback"),
    "dns: this host": Row(dns_answer, ["0.0.0.0"], "0.0.0.0 is unspecified"),
    "dns: public beside private": Row(dns_answer, ["93.184.215.14", "10.0.0.1"], "10.0.0.1 is private"),
    "dns: metadata": Row(dns_answer, ["169.254.169.254"], "is a cloud's metadata service"),
    "dns: metadata on a public address": Row(dns_answer, ["168.63.129.16"], "is a cloud's metadata service"),
    "dns: mapped": Row(dns_answer, ["::ffff:127.0.0.1"], "::ffff:127.0.0.1 is loopback"),
    "dns: compatible": Row(dns_answer, ["::127.0.0.1"], "is IPv4-compatible"),
    "dns: translated": Row(dns_answer, ["::ffff:0:127.0.0.1"], "is IPv4-translated"),
    "dns: 6to4": Row(dns_answer, ["2002:7f00:1::"], "2002:7f00:1:: is 6to4"),
    "dns: NAT64": Row(dns_answer, ["64:ff9b::169.254.169.254"], "is NAT64 of 169.254.169.254"),
    "dns: local NAT64": Row(dns_answer, ["64:ff9b:1::127.0.0.1"], "is local NAT64"),
    "dns: Teredo": Row(dns_answer, ["2001::1"], "2001::1 is Teredo"),
    "dns: ISATAP": Row(dns_answer, ["2606:4700::5efe:10.0.0.1"], "is ISATAP of 10.0.0.1"),
    "dns: link-local with a zone": Row(dns_answer, ["fe80::1%lo"], "fe80::1%lo is link-local"),
    "dns: unique local": Row(dns_answer, ["fd00::1"], "is private (unique local)"),
    "dns: multicast": Row(dns_answer, ["ff02::1"], "is multicast"),
    "dns: no address at all": Row(dns_answer, ["localhost"], "is not an IP address"),
    "dns: nothing": Row(dns_answer, [], f"network no address for {HOST}"),
    # -- certificates
    "certificate: expired": Row(
        certificate,
        AUTHORITY.issue_cert(HOST, not_after=NOW - timedelta(1)),
        "tls the certificate has expired: valid",
    ),
    "certificate: from tomorrow": Row(
        certificate, AUTHORITY.issue_cert(HOST, not_before=NOW + timedelta(1)), "tls the certificate is not valid yet"
    ),
    "certificate: another host's": Row(
        certificate, AUTHORITY.issue_cert("evil.test"), "tls the certificate is for another host: it has evil.test"
    ),
    "certificate: a wildcard too wide": Row(
        certificate, AUTHORITY.issue_cert("*.test"), "tls the certificate is for another host: it has *.test"
    ),
    "certificate: the name in its subject alone": Row(
        certificate,
        AUTHORITY.issue_cert(common_name=HOST),
        "tls the certificate is for another host: it has no names",
    ),
    "certificate: an address": Row(
        certificate, AUTHORITY.issue_cert("127.0.0.1"), "tls the certificate is for another"
    ),
    "certificate: a stranger's": Row(
        certificate,
        trustme.CA(organization_name=f"Evil{ESC}").issue_cert(HOST),
        "tls the certificate is from an unknown",
    ),
    "certificate: self-signed": Row(certificate, trustme.CA(), "tls the certificate is self-signed"),
    "certificate: 500 names": Row(
        certificate, AUTHORITY.issue_cert(*(f"h{n}.evil.test" for n in range(500))), "and 495 more"
    ),
    "certificate: an ediPartyName": Row(
        certificate, with_name(AUTHORITY, "evil.test", EDI_PARTY_NAME), "tls the certificate is for another host"
    ),
    "certificate: an x400Address": Row(
        certificate, with_name(AUTHORITY, "evil.test", X400_ADDRESS), "tls the certificate is for another host"
    ),
    "certificate: of a version that there is not": Row(
        certificate, of_version_4(AUTHORITY, "evil.test"), "tls the certificate is for another host"
    ),
    # -- what an endpoint answers
    "answer: not HTTP": Row(response, sends(b"SSH-2.0-OpenSSH\r\n\r\n"), "network no complete HTTP response"),
    "answer: a terminal's commands": Row(response, sends(ESC.encode() * 9), "network no complete HTTP response"),
    "answer: a terminal's commands as its reason": Row(
        response, sends(answers(b"503 " + ESC.encode() + b"\r\ncontent-length: 0")), "answer 503"
    ),
    "answer: a redirect inside": Row(
        response, sends(answers(b"302 F\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0")), "answer 302"
    ),
    "answer: a second one behind it": Row(response, sends(OK + SMUGGLED), "answer 200"),
    "answer: a head without end": Row(
        response, endlessly(b"HTTP/1.1 200 OK\r\n", b"x: " + b"y" * 9000 + b"\r\n"), "a head of more than 64 KiB"
    ),
    "answer: 300 headers": Row(
        response, sends(answers(b"200 OK" + b"\r\nx: y" * 300)), "a head of more than 256 lines"
    ),
    "answer: 1xx without end": Row(
        response, endlessly(b"", answers(b"103 Early Hints") * 9), "more than 32 informational responses"
    ),
    "answer: another protocol": Row(response, sends(answers(b"101 Switching")), "a protocol that was not requested"),
    "answer: two lengths": Row(
        response,
        sends(answers(b"200 OK\r\ncontent-length: 1\r\ncontent-length: 2", b"xy")),
        "conflicting content-length",
    ),
    "answer: NUL in a header": Row(response, sends(answers(b"200 OK\r\nx: \x00")), "a malformed head"),
    "answer: a body without end": Row(response, endlessly(CHUNKED, b"400\r\n" + b"x" * 1024 + b"\r\n"), "answer 200"),
    "answer: Retry-After in a million years": Row(
        response, sends(answers(b"503 B\r\nretry-after: 31556952000000\r\ncontent-length: 0")), "answer 503"
    ),
    # -- what a proxy answers
    "proxy: a terminal's commands": Row(
        proxy_answer, ESC.encode() + b"\r\n\r\n", "network the proxy does not answer in"
    ),
    "proxy: a head without end": Row(
        proxy_answer, b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 9000, "of more than 16 KiB"
    ),
    "proxy: an answer for the endpoint": Row(
        proxy_answer, b"HTTP/1.1 200 OK\r\n\r\n" + OK, "network the proxy sent more than its response"
    ),
    # -- plan files
    "policy: a million open brackets": Row(policy_file, b"rules: " + b"[" * 1_000_000, "error[HL006]"),
    "policy: billion laughs": Row(policy_file, b"$defs: {a: &a [x, x], b: &b [*a, *a], c: [*b, *b]}", "error[HL009]"),
    "policy: two megabytes": Row(policy_file, b"# " + b"x" * (2 << 20) + b"\nversion: 1", "error[HL005]"),
    "policy: a schema of the network": Row(policy_file, required({"$ref": "http://10.0.0.1/a"}), "error[HL082]"),
    "policy: a schema of the disk": Row(policy_file, required({"$ref": "file:///etc/passwd"}), "error[HL082]"),
    "policy: a schema in a circle": Row(
        policy_file, required({"$ref": "#/$defs/a"}, a={"not": {"$ref": "#/$defs/a"}}), "error[HL082]"
    ),
    "policy: a schema that doubles": Row(
        policy_file,
        required(
            {"$ref": "#/$defs/a0"},
            a40={},
            **{f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(40)},
        ),
        "error[HL084]",
    ),
    "policy: a pattern that looks back": Row(policy_file, required({"pattern": "(?<=a)b"}), "error[HL083]"),
    "policy: a pattern of gigabytes": Row(policy_file, required({"pattern": "((a{999}){999}){999}"}), "error[HL083]"),
    "policy: ten thousand rules": Row(
        policy_file,
        b'{"version": 1, "rules": ['
        + b",".join(b'{"id": "r%d", "message": "m", "require": {}}' % n for n in range(10_000))
        + b"]}",
        "error[HL084]",
    ),
    "policy: a message for the terminal": Row(
        policy_file, b'version: 1\nrules: [{id: "' + ESC.encode() + b'"}]', "error[HL003]"
    ),
    "policy: a time zone of the disk": Row(
        policy_file,
        b"version: 1\nfreeze: [{id: w, reason: r, from: '2026-01-01', to: '2026-01-02', timeZone: ../../etc/passwd}]",
        "error[HL087]",
    ),
    "plan: nothing": Row(plan_file, b"", "64 error: the plan p.json cannot be read: not JSON"),
    "plan: 50,000 brackets": Row(plan_file, b"[" * 50_000, "it is nested too deeply"),
    "plan: a key twice": Row(plan_file, b'{"serial": 1, "serial": 2}', 'the key "serial" occurs twice'),
    "plan: 10,000 digits": Row(plan_file, b'{"serial": ' + b"9" * 10_000 + b"}", "a number that is too long"),
    "plan: made by tomorrow's hookline": Row(
        plan_file, b'{"formatVersion": 2}', "64 error: the plan p.json was made by a newer hookline"
    ),
    "plan: another fingerprint": Row(
        plan_file,
        creation(DOCUMENT, fingerprint="sha256:" + "0" * 64),
        "7 error: nothing was applied: p.json was edited after it was made",
    ),
    "plan: forged, to another team's key": Row(
        plan_file,
        creation({**DOCUMENT, "headers": {"X": {"env": "AWS_SECRET_ACCESS_KEY"}}}),
        "5 p.json: error[HL050]",
    ),
    "plan: forged, to plain HTTP": Row(
        plan_file, creation({**DOCUMENT, "url": "http://evil.test/"}), "5 p.json: error[HL012]"
    ),
    "plan: forged, to an address": Row(
        plan_file, creation({**DOCUMENT, "url": "https://10.0.0.1/"}), "5 p.json: error[HL033]"
    ),
    "plan: forged, with a header that splits": Row(
        plan_file, creation({**DOCUMENT, "headers": {"X": "a\r\nY: b"}}), "5 p.json: error[HL041]"
    ),
    # -- states
    "state: text": Row(state_file, b"this is no database", "error: state.db is not an SQLite database"),
    "state: half a database": Row(
        state_file, b"SQLite format 3\x00" + bytes(84), "error: state.db is not an SQLite database"
    ),
    # -- names of files in a directory that a relay reads
    "name: bytes that are no UTF-8": Row(file_name, b"caf\xe9.log", "logs/caf\\xe9.log:1: skip unknown_format"),
    "name: a terminal's commands": Row(
        file_name, ESC.encode() + b".log", "logs/\\u001b]0;owned\\u0007\\u001b[2J.log:1: skip unknown_format"
    ),
    "name: a terminal's commands, refused": Row(
        refused_file_name, ESC.encode() + b".xz", "error: logs/\\u001b]0;owned\\u0007\\u001b[2J.xz: no file matches"
    ),
    "name: a line of its own": Row(file_name, b"a\nb.log", "logs/a\\u000ab.log:1: skip unknown_format"),
    # -- exported dead letters
    "letter: not JSON": Row(dead_letters, b"{", "l.ndjson:1: not JSON"),
    "letter: 50,000 brackets": Row(dead_letters, b"[" * 50_000, "l.ndjson:1: not JSON"),
    "letter: something else": Row(dead_letters, b"{}", "l.ndjson:1: not a dead letter"),
    "letter: 9 MiB": Row(dead_letters, b'"' + b"x" * 9 * 2**20 + b'"', "l.ndjson:1: too long"),
    "letter: of tomorrow": Row(dead_letters, letter(version=2), "l.ndjson:1: version"),
    "letter: an id that is SQL": Row(dead_letters, letter(id="line-1; DROP TABLE delivery"), "l.ndjson:1: id"),
    "letter: another text than its hash": Row(dead_letters, letter(text="y"), "l.ndjson:1: sha256"),
    "letter: a line of negative number": Row(dead_letters, letter(line=-1), "l.ndjson:1: line"),
    "letter: an unknown key": Row(dead_letters, letter(url="https://evil.test/"), "l.ndjson:1: "),
    "letter: a terminal's commands for a key": Row(dead_letters, letter(**{ESC: 1}), "l.ndjson:1: "),
    "letter: a time before 1970": Row(dead_letters, letter(time="0001-01-01T00:00:00Z"), "l.ndjson:1: time"),
    "letter: a time that UTC cannot say": Row(
        dead_letters, letter(time="9999-12-31T23:59:59-14:00"), "l.ndjson:1: time"
    ),
    "letter: a terminal's commands for a reason": Row(
        dead_letter_shown, letter(reason=ESC, source="\u009b2J\u202e"), "\\u009b2J\\u202e:1  \\u001b]0;owned\\u0007"
    ),
    # -- event lines
    "line: not JSON": Row(event_line, b"{", "not JSON"),
    "line: 200 brackets": Row(event_line, b"[" * 200 + b"]" * 200, "nested deeper than 100 levels"),
    "line: 2 MiB": Row(event_line, b'"' + b"x" * 2**21 + b'"', "too long"),
    "line: no UTF-8": Row(event_line, b'{"a": "\xff"}', "not UTF-8"),
    "line: UTF-16": Row(event_line, "{}".encode("utf-16"), "not UTF-8"),
    "line: half of a surrogate pair": Row(
        event_line, rb'{"requestId": "\ud800"}', "half of a surrogate pair (\\ud800)"
    ),
    "line: a number of 10,000 digits": Row(
        event_line, b'{"requestId": ' + b"9" * 10_000 + b"}", "integer value out of range"
    ),
    "line: somebody else's organization": Row(
        event_line, b'{"requestId":"r","imsOrg":"EVIL@AdobeOrg","sandbox":{"name":"prod"}}', "unknown_format"
    ),
    "line: a dead letter": Row(event_line, letter().rstrip(), "a dead letter of hookline"),
    "line: a dead letter in a container's log": Row(
        event_line, b"2026-01-01T00:00:00Z stdout F " + letter().rstrip(), "a dead letter of hookline"
    ),
    "line: a result in a recipient's address": Row(
        event_line,
        SYSLOG + b"to=<v@a.test>, relay=x, status=bounced (x)@evil.test>, relay=y, status=sent (ok)",
        "it can be read in two ways",
    ),
    "line: a result in a server's reply": Row(
        event_line,
        SYSLOG + b"to=<b@evil.test>, relay=y, status=deferred (to=<v@a.test>, status=bounced (x)",
        "status_not_relayed",
    ),
    "line: a result in a subject": Row(
        event_line,
        SYSLOG.replace(b"smtp", b"cleanup") + b"warning: header Subject: A: to=<v@a.test>, status=sent (x)",
        "unread_outcome",
    ),
    "line: 20,000 wrappers": Row(event_line, b"2026-01-01T00:00:00Z stdout F " * 20_000, "more than 4 wrappers"),
    "line: a header in an event's time": Row(event_time, "2026-01-01\r\nX-Other: b", "left out"),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_hostile_input(row: Row, tmp_path: Path) -> None:
    """Each hostile input gets its refusal, in words that name it, and nothing else comes of it."""
    assert row.refusal in row.meets(row.what, tmp_path)


def test_the_table_is_long() -> None:
    """The table has at least sixty rows."""
    assert len(ROWS) >= 60
