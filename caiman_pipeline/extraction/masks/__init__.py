"""Components from masks: read from files, found in a structural channel, and made a start of the search."""
