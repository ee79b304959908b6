"""The composition root: connects the parts of a relay. Used by the command line and by tests."""
