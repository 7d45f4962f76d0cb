"""Texts that may leave the machine."""

from __future__ import annotations

import pytest

from caiman_pipeline.model.names import without_folders


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("/home/jane/raw/m 1.tif: file not found.", "m 1.tif: file not found."),
        ("/home/jane doe/raw data/m 1.tif: is cut short. Copy it.", "m 1.tif: is cut short. Copy it."),
        ("patch_cnmf: mask 3 of /data/lab/masks.tif lies outside", "patch_cnmf: mask 3 of masks.tif lies outside"),
        ("read (/data/a.tif, /data/b/c.tif)", "read (a.tif, c.tif)"),
        ("~/movies/a.tif: empty", "a.tif: empty"),
        (r"C:\Users\jane\a.tif: empty", "a.tif: empty"),
        ("raw/a.tif: empty", "raw/a.tif: empty"),
        ("s3://bucket/raw/a.tif: gone", "s3://bucket/raw/a.tif: gone"),
        ("3/4 of pixels and/or frames, 5 /min, a / b / c", "3/4 of pixels and/or frames, 5 /min, a / b / c"),
        ("frames 1/2/3", "frames 1/2/3"),
    ],
)
def test_a_sentence_without_folders_of_the_machine(text, left):
    assert without_folders(text) == left
