"""Feedback webhooks as code, and the relay that delivers the feedback."""

__version__ = "0.1.0"
