"""Webhook files: from YAML to the webhooks that are desired."""

from hookline.config.loader import Inspection, inspect, load

__all__ = ["Inspection", "inspect", "load"]
