"""Every interleaving of leases and settlements keeps the invariants; in each broken variant, one does not."""

from __future__ import annotations

import pytest

from explorer.explorer import Explorer
from explorer.scenarios import LONG_SCENARIOS, SCENARIOS
from explorer.variants import VARIANTS, Variant

# Fewer would mean that the threads of a scenario do not run beside each other.
MIN_INTERLEAVINGS = 100


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_interleaving_keeps_the_invariants(name: str) -> None:
    """No order of the steps of two or three processes, wherever one is stopped, violates an invariant."""
    report = Explorer(SCENARIOS[name]).explore()
    assert report.violation is None, str(report)
    assert report.interleavings > MIN_INTERLEAVINGS


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_broken_variants_are_found(variant: Variant) -> None:
    """Without a part of the store's statements, some order of the steps violates the invariant that it is for."""
    report = Explorer(SCENARIOS[variant.scenario], variant.changed()).explore()
    assert report.violation is not None, f"not found: {variant.name} ({report})"
    assert report.violation.startswith(variant.violation), str(report)


@pytest.mark.soak
@pytest.mark.parametrize("name", LONG_SCENARIOS)
def test_longer_lives_keep_the_invariants(name: str) -> None:
    """The same, with processes that renew, deliver and settle beside each other."""
    report = Explorer(LONG_SCENARIOS[name]).explore()
    print(f"{name}: {report}")  # noqa: T201 - shown by `make soak`
    assert report.violation is None, str(report)
