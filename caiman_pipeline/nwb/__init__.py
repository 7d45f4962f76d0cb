"""One recording as an NWB 2 file, and its components as a CSV table."""
