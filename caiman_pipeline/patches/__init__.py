"""Tile geometry and the stitching of what was found in tiles."""
