"""What judges pictures of glyphs: two small networks, distances in their features, and the figures made of both."""
