"""The two networks, their losses, and weights from elsewhere."""
