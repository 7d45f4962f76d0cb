"""The store of the corrected movie: parts of bounded size, on disk or on an object store."""
