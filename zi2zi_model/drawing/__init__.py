"""What a trained run draws: pictures, outlines, a font."""
