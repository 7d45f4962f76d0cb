"""Background models: fluorescence that belongs to no component."""
