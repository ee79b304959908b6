"""The order in which an operator looks at webhooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from hookline.observe.snapshot import LaneStatus, WebhookStatus

_UNHEALTHY: Final = ("gone", "open", "half_open")


def by_attention(webhooks: Sequence[WebhookStatus], lanes: Mapping[str, LaneStatus]) -> list[WebhookStatus]:
    """Sort webhooks: unhealthy, paused or disabled, then by oldest pending delivery, then by dead letters."""

    def rank(one: WebhookStatus) -> tuple[int, float, int, str]:
        lane = lanes.get(one.webhook)
        if one.gone_reason is not None or (lane is not None and lane.phase in _UNHEALTHY):
            group = 0
        elif one.pending and (one.paused is not None or one.disabled):
            group = 1
        else:
            group = 2 if one.pending else 3
        return group, -(one.oldest or 0.0), -one.dead, one.webhook

    return sorted(webhooks, key=rank)
