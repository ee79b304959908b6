"""A local HTTPS receiver for development: shows, verifies and records what comes in.

A room of its own: it knows nothing of the reconciler and the relay, as a receiver in another company would not.
"""
