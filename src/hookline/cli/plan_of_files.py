"""The plan for the webhooks of files: read the state, compare, and check the policy."""

from __future__ import annotations

from pathlib import Path

from hookline.cli.applied_state import read_pending
from hookline.cli.plan_options import places_in, policy_guard, require_desired, with_folder_notes
from hookline.cli.policy_file_note import compare_policy_file
from hookline.cli.status.plan_drain import with_drain
from hookline.model import Desired
from hookline.plan.deletion_guard import DeletionLimits
from hookline.plan.plan import Plan
from hookline.plan.planner import make_plan
from hookline.plan.policy_check import OverrideRequest
from hookline.state.factory import open_state


def plan_of_files(
    desired: Desired,
    config: Path,
    state: str,
    spool: str,
    *,
    policy_file: Path | None,
    limits: DeletionLimits,
    overrides: OverrideRequest,
) -> Plan:
    """The plan for the webhooks of files, with notes, the violations of the policy, and the forecast of each backlog.

    Args:
        desired: The webhooks of the files.
        config: The configuration directory.
        state: The location of the state.
        spool: The location of the spool, for the numbers of pending deliveries.
        policy_file: The policy file of the repository; None for the one beside the configuration directory.
        limits: The deletions that are allowed.
        overrides: The rules of the policy that are lifted.
    """
    store = open_state(state)
    stored = store.read(desired.webhooks)
    require_desired(config, desired, stored)
    plan = make_plan(stored, desired, limits, read_pending(spool))
    plan = with_folder_notes(plan, desired, stored, store, config)
    compare_policy_file(policy_file, config, stored)
    plan = policy_guard(config, overrides, places_in(desired)).checked(plan, stored, store.now)
    return with_drain(plan, spool)
