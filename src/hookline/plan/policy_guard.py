"""Applies the policy of a state to plans: at the plan, and again in the transaction of the apply."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

from hookline.errors import Stale, StateUnusable, WrongUse
from hookline.plan.plan import Plan
from hookline.plan.policy_check import (
    OverrideRequest,
    PathsInConfig,
    PlaceOf,
    PolicyContext,
    check_policy,
    lifted_rules,
    raise_if_denied,
)
from hookline.policy.freeze_window import ZoneOf
from hookline.policy.policy import Policy, parse_policy
from hookline.state.store import Override, Snapshot


def stored_policy(stored: Snapshot) -> Policy | None:
    """The policy of a state. Raises StateUnusable if its text is no policy: somebody edited it."""
    if stored.policy is None:
        return None
    try:
        return parse_policy(json.loads(stored.policy.text))
    except (KeyError, TypeError, AttributeError, ValueError) as invalid:
        raise _unusable_policy(str(invalid)) from invalid


def _unusable_policy(reason: str) -> StateUnusable:
    hint = "set it again: hookline policy set FILE"
    return StateUnusable(f"the policy of the state cannot be used: {reason}", hint=hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyGuard:
    """Checks plans against the policy of the state that they were made on.

    `zone_of` knows the time zones. `paths_in_config` and `place_of` are those of `PolicyContext`. `request` has the
    rules that the command line lifts.
    """

    zone_of: ZoneOf
    paths_in_config: PathsInConfig | None = None
    place_of: PlaceOf | None = None
    request: OverrideRequest = field(default_factory=OverrideRequest)

    def checked(self, plan: Plan, stored: Snapshot, now: Callable[[], datetime]) -> Plan:
        """The plan with its violations. `now` is called only if there is a policy."""
        policy = stored_policy(stored)
        if policy is None:
            if self.request.rules:
                hint = "leave out --override and --reason"
                raise WrongUse(f"--override {self.request.rules[0]}: the state has no policy", hint=hint)
            return plan
        context = PolicyContext(
            at=now(),
            zone_of=self.zone_of,
            applied=len(stored.webhooks),
            paths_in_config=self.paths_in_config,
            place_of=self.place_of,
            request=self.request,
        )
        try:
            return replace(plan, violations=check_policy(plan, policy, context))
        except (KeyError, ValueError) as invalid:
            raise _unusable_policy(str(invalid)) from invalid

    def confirm(self, plan: Plan, stored: Snapshot, at: datetime) -> None:
        """Check a checked plan again at the time of the apply.

        Raises:
            Blocked: The policy denies the plan now.
            Stale: The plan needs other overrides now than the history would record.
        """
        again = self.checked(plan, stored, lambda: at)
        raise_if_denied(again.violations)
        if lifted_rules(again.violations) != lifted_rules(plan.violations):
            text = "nothing was applied: a freeze window began or ended during the apply"
            raise Stale(text, hint="apply again, and check the rules that it overrides")


def recorded_overrides(plan: Plan) -> tuple[Override, ...]:
    """The lifted rules of a checked plan, for the history."""
    return tuple(Override(rule, reason) for rule, reason in lifted_rules(plan.violations))
