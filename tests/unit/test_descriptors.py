"""The limit of file descriptors and its parts."""

from __future__ import annotations

import errno
import os

import pytest

from hookline.descriptors import lacks_descriptor, max_connections
from hookline.errors import SecretUnavailable


@pytest.mark.parametrize("limit", [16, 64, 256, 1024, 20_000, 65_536])
@pytest.mark.parametrize("follow", [False, True])
def test_connections_leave_descriptors_for_the_rest(limit: int, *, follow: bool) -> None:
    """At least a quarter of a small limit, and 96 of a large one, remain for the spool, the state and the rest."""
    most = max_connections(limit, follow=follow)
    assert 1 <= most <= limit - min(limit // 4, 96)
    if follow:
        assert most <= limit // 2 or limit >= 1024


def test_a_cause_counts() -> None:
    """An error of hookline whose cause is a lack of descriptors is one, and any other error is not."""
    for number in (errno.EMFILE, errno.ENFILE):
        error = SecretUnavailable("cannot read the secret", hint="try again")
        error.__cause__ = OSError(number, os.strerror(number))
        assert lacks_descriptor(error)
    assert not lacks_descriptor(OSError(errno.ENOENT, "no such file"))
    assert not lacks_descriptor(None)
