"""Bytes and dicts to models and back, in both directions; pure functions, no I/O."""
