"""How PostgreSQL runs the statements of a shared spool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hookline.relay.spool.postgres.shared import SharedStore
from hookline.relay.spool.postgres.spool_connection import Step


def believe_empty(store: SharedStore) -> None:
    """Let the planner collect statistics of a spool. Those of a new one are wrong later."""
    connection = store.connection()
    for table in ("delivery", "webhook", "slot", "record"):
        connection.query(f"ANALYZE spool.{table}")
    connection.close()


def plan_of(store: SharedStore, settings: Step, step: Step) -> Mapping[str, Any]:
    """The plan of a statement, in a transaction with these settings."""
    connection = store.connection()
    with connection.transaction() as opened:
        opened.execute(connection.sql(settings[0]), settings[1])
        ((plan,),) = opened.execute(b"EXPLAIN (FORMAT JSON) " + connection.sql(step[0]), step[1]).fetchall()
    connection.close()
    found: Mapping[str, Any] = plan[0]["Plan"]
    return found


def indexes(plan: Mapping[str, Any]) -> set[str]:
    """The indexes by which a plan looks into the table of deliveries, and other ways in which it reads the table."""
    below: set[str] = set().union(*map(indexes, plan.get("Plans", ())))
    name, node = plan.get("Index Name", ""), plan["Node Type"]
    if name.startswith("delivery"):
        return below | {name if "Index Cond" in plan else f"all of {name}"}
    if plan.get("Relation Name") == "delivery" and node not in {"ModifyTable", "Bitmap Heap Scan"}:
        return below | {node}
    return below
