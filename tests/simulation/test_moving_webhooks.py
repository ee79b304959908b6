"""The simulation with webhooks that move: fixed seeds, new seeds, and a planted fault."""

from __future__ import annotations

import re
import secrets

import pytest

from simulation.moving_webhooks import forgotten_identity, run_moving_seed

FIXED_SEEDS = 16
NEW_SEEDS = 6
SOAK_SEEDS = 2_000
# Seeds that violate an invariant if a moved webhook loses its identity.
ORDER_SEEDS, DUPLICATE_SEEDS = (6, 7, 23, 31), (1, 5, 9, 12)


def require_green(seeds: range) -> None:
    for seed in seeds:
        violation = run_moving_seed(seed).violation
        assert violation is None, f"seed {seed}: {violation}"


def test_fixed_seeds() -> None:
    """Nothing is lost or sent twice, each message keeps its order across a move, and the account adds up.

    Webhooks move several times, move back, and move while deliveries are pending.
    """
    lines: list[str] = []
    for seed in range(FIXED_SEEDS):
        result = run_moving_seed(seed, keep_trace=True)
        assert result.violation is None, f"seed {seed}: {result.violation}"
        lines += result.trace or ()
    moved = [found for line in lines if (found := re.search(r"webhook=(\S+) old=(\S+) pending=(\d+)", line))]
    assert any("-moved-" in one[1] and "-moved-" in one[2] for one in moved)
    assert any("-moved-" not in one[1] for one in moved)
    assert any(int(one[3]) for one in moved)


def test_new_seeds() -> None:
    """The same for seeds that were never tried before. A failure names its seed."""
    first = secrets.randbits(48)
    require_green(range(first, first + NEW_SEEDS))


@pytest.mark.soak
def test_many_seeds() -> None:
    """The same for thousands of new seeds."""
    first = secrets.randbits(48)
    require_green(range(first, first + SOAK_SEEDS))


@pytest.mark.parametrize(
    ("seeds", "violated"),
    [(ORDER_SEEDS, "order per message"), (DUPLICATE_SEEDS, "no duplicates")],
)
def test_a_forgotten_identity_is_caught(seeds: tuple[int, ...], violated: str) -> None:
    """A recorded seed violates the invariant when the fault is planted, and none without it."""
    for seed in seeds:
        with forgotten_identity():
            found = run_moving_seed(seed).violation
        if found is not None and found.name == violated:
            assert run_moving_seed(seed).violation is None
            return
    pytest.fail("no recorded seed catches it")
