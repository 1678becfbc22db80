"""The fault matrix: what befalls a run at each of its operations on files, and what is left of it."""
