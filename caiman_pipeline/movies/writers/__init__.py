"""Movies written frame by frame, one writer per format."""
