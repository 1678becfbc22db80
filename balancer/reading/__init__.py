"""Anybody's log into a history: which reader a path is for, which name is which signal, one axis of steps."""
