"""The routes, one file a protocol."""
