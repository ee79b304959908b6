"""The codes of findings about webhook files. A code is stable across releases and has exactly one meaning.

A number is never given away again; new meanings take new numbers.
"""

# ruff: noqa: S105 - names of codes, not passwords

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

UNREADABLE: Final = "HL001"
NOT_UTF8: Final = "HL002"
CONTROL_CHARACTER: Final = "HL003"
NOT_YAML: Final = "HL004"
TOO_LARGE: Final = "HL005"
TOO_DEEP: Final = "HL006"
DUPLICATE_KEY: Final = "HL007"
KEY_NOT_STRING: Final = "HL008"
ANCHOR: Final = "HL009"
ALIAS: Final = "HL010"
MERGE_KEY: Final = "HL011"
NOT_HTTPS: Final = "HL012"
TAG: Final = "HL013"
AMBIGUOUS_SCALAR: Final = "HL014"
LINK_OUTSIDE: Final = "HL015"
NO_DOCUMENT: Final = "HL016"

UNKNOWN_KEY: Final = "HL020"
MISSING_KEY: Final = "HL021"
WRONG_TYPE: Final = "HL022"
NOT_ALLOWED: Final = "HL023"
WRONG_FORM: Final = "HL024"
REPEATED_ITEM: Final = "HL025"
OUT_OF_RANGE: Final = "HL026"
OTHER_VERSION: Final = "HL027"

NOT_A_URL: Final = "HL030"
URL_CREDENTIALS: Final = "HL031"
URL_FRAGMENT: Final = "HL032"
IP_LITERAL: Final = "HL033"
URL_PORT: Final = "HL034"
URL_SECRET: Final = "HL035"
URL_HOST: Final = "HL036"

HEADER_NAME: Final = "HL040"
HEADER_VALUE: Final = "HL041"
HEADER_RESERVED: Final = "HL042"
HEADER_REPEATED: Final = "HL043"
HEADER_OF_JWT: Final = "HL044"
HEADER_SECRET: Final = "HL045"

SECRET_ENV: Final = "HL050"
SECRET_FILE: Final = "HL051"
TLS_PAIR: Final = "HL052"

REGISTERED_CLAIM: Final = "HL060"
REPEATED_KEY_ID: Final = "HL061"
KEY_TIMES: Final = "HL062"
KEY_GAP: Final = "HL063"
NEEDLESS_PASSPHRASE: Final = "HL064"
RETRY_ORDER: Final = "HL065"

SECOND_WEBHOOK: Final = "HL070"
SHARED_SANDBOX_ID: Final = "HL071"

TITLES: Mapping[str, str] = MappingProxyType(
    {
        UNREADABLE: "the file cannot be read",
        NOT_UTF8: "the file is not UTF-8",
        CONTROL_CHARACTER: "an invisible control character stands in the file",
        NOT_YAML: "the file is not valid YAML",
        TOO_LARGE: "a document is too large",
        TOO_DEEP: "a document is nested too deeply",
        DUPLICATE_KEY: "a key is written twice",
        KEY_NOT_STRING: "a key is not a string",
        ANCHOR: "YAML anchors are not used in webhook files",
        ALIAS: "YAML aliases are not used in webhook files",
        MERGE_KEY: "YAML merge keys are not used in webhook files",
        NOT_HTTPS: "the URL is not an https URL",
        TAG: "YAML tags are not used in webhook files",
        AMBIGUOUS_SCALAR: "a plain value that readers of YAML take differently",
        LINK_OUTSIDE: "a symbolic link leaves the configuration directory",
        NO_DOCUMENT: "the file holds no webhook",
        UNKNOWN_KEY: "a key is not known here",
        MISSING_KEY: "a required key is missing",
        WRONG_TYPE: "a value has the wrong type",
        NOT_ALLOWED: "a value is not one of those allowed",
        WRONG_FORM: "a value is not written in the form that is asked for",
        REPEATED_ITEM: "a list names the same thing twice",
        OUT_OF_RANGE: "a number or a duration is out of range",
        OTHER_VERSION: "the document is of a version that this release cannot read",
        NOT_A_URL: "the URL cannot be read as a URL",
        URL_CREDENTIALS: "the URL holds a user name or a password",
        URL_FRAGMENT: "the URL has a fragment",
        IP_LITERAL: "the URL names an IP address instead of a host",
        URL_PORT: "the port of the URL is not a port",
        URL_SECRET: "a query parameter of the URL looks like a secret",
        URL_HOST: "the host of the URL is not a DNS name",
        HEADER_NAME: "a header name is not valid",
        HEADER_VALUE: "a header value cannot be sent",
        HEADER_RESERVED: "the header belongs to HTTP or to hookline",
        HEADER_REPEATED: "a header is named twice",
        HEADER_OF_JWT: "the header carries the JWT already",
        HEADER_SECRET: "a secret is written into the file",
        SECRET_ENV: "the environment variable is out of reach for webhook files",
        SECRET_FILE: "the path cannot be a file of the secrets directory",
        TLS_PAIR: "a client certificate and its key belong together",
        REGISTERED_CLAIM: "the claim is set by hookline itself",
        REPEATED_KEY_ID: "two keys have the same id",
        KEY_TIMES: "a key retires before it is active",
        KEY_GAP: "there is a time at which no key is active",
        NEEDLESS_PASSPHRASE: "a passphrase has nothing to open",
        RETRY_ORDER: "the retry delays are not in order",
        SECOND_WEBHOOK: "the sandbox has a webhook already",
        SHARED_SANDBOX_ID: "one sandbox id stands for two sandboxes",
    }
)
