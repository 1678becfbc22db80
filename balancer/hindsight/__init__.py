"""What a run did, in hindsight: why its knobs stood where they stood, and what other plugins would have made of it."""
