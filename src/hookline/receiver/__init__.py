"""A local HTTPS receiver for development: prints, verifies and records requests.

It imports neither the reconciler nor the relay, like a receiver in another company.
"""
