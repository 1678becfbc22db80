"""Findings, explanations and replays in words, on the terminal and as JSON."""
