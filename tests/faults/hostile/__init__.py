"""Hostile input: kinds of it, each made by a seed, and the commands that take it."""
