"""A recording's results in the files of other tools."""
