"""`hookline unit` and `hookline alerts`: print the files with which operators run and watch the relay."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import click

from hookline.cli.options import examples


def shipped_text(name: str) -> str:
    """The text of a file for operators: in the wheel, otherwise in the repository's docs."""
    shipped = files("hookline") / "operations" / name
    found = shipped if shipped.is_file() else Path(__file__).resolve().parents[4] / "docs" / name
    return found.read_text(encoding="utf-8")


@click.command(epilog=examples("hookline unit | sudo tee /etc/systemd/system/hookline-relay.service"))
def unit_command() -> None:
    """Print the systemd unit of the relay.

    The unit needs systemd 250 or newer. It expects hookline in /opt/hookline, the state in /srv/hookline/state.db and
    a user named hookline: `systemctl edit hookline-relay` changes them, and names the files to read.
    """
    click.echo(shipped_text("hookline-relay.service"), nl=False)


@click.command(
    epilog=examples(
        "hookline alerts > /etc/prometheus/rules/hookline.yaml",
        "hookline alerts --dashboard > hookline-dashboard.json",
    )
)
@click.option("--dashboard", is_flag=True, help="Print a Grafana dashboard instead, as JSON.")
def alerts_command(*, dashboard: bool) -> None:
    """Print alert rules for Prometheus, or a dashboard for Grafana.

    Both use the metrics of `hookline relay --listen`. Adapt the thresholds of the rules to your traffic.
    """
    click.echo(shipped_text("dashboard.json" if dashboard else "alerts.yaml"), nl=False)
