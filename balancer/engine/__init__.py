"""One composition at work."""
