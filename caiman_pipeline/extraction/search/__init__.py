"""Ways of finding components in a tile."""
