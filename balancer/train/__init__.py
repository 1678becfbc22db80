"""Our training loop."""
