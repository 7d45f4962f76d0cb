"""Movies in: what files hold, on which axes, and the store of the corrected movie."""
