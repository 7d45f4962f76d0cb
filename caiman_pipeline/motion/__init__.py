"""Motion correction: template, registration, application of shifts, and measures of the result."""
