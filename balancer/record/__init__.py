"""The run directory: each file format once, written and read."""
