"""Reads YAML files and returns the webhooks that they declare."""
