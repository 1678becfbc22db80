"""Glyphs: from fonts, pictures and packages to training pairs."""
