"""Comparisons of settings over tasks and seeds, as one file says them; and what they come to."""
