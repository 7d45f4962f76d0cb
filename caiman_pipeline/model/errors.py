"""The one exception for failures that the pipeline foresees."""


class PipelineError(Exception):
    """Bad input, settings or environment: reported as one line, exit status 2, no traceback.

    The message names the file or key, says what was found, and what to do about it.
    """
