"""What zi2zi adds to a diagnosis; without torch."""
