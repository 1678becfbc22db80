"""A log that is still written: judged as it grows, at the cost of what is new."""
