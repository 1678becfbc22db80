"""What authors of plugins get to publish with: a distribution begun for them, and what a list says of theirs."""
