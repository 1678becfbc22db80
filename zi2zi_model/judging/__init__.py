"""How good drawn glyphs are."""
