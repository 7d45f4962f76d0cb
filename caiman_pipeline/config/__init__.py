"""The workflow's settings: pydantic models, one file per section, that replace a parameter object."""
