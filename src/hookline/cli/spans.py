"""Spans of time and amounts of data, for people."""

from __future__ import annotations


def span(seconds: float) -> str:
    """``3 s``, ``12 min``, ``5.2 h``, ``3.1 d``."""
    for unit, size in (("d", 86_400), ("h", 3600)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"


def size(amount: int) -> str:
    """``712 B``, ``40.0 MiB``."""
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if amount >= factor:
            return f"{amount / factor:.1f} {unit}"
    return f"{amount} B"
