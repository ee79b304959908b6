"""The read-only page of `hookline serve`: served to a browser, or written as files."""
