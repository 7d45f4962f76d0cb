"""Examples in docstrings run and give what they say."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import caiman_pipeline
from tests.house_figures import PACKAGE, modules

# Those of the public functions read a recording that tests/test_docs.py makes.
ELSEWHERE = set(caiman_pipeline._PLACES.values())


def _name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


WITH_EXAMPLES = [_name(p) for p in modules() if ">>> " in p.read_text() and _name(p) not in ELSEWHERE]


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_examples_give_what_they_say(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = doctest.testmod(importlib.import_module(f"caiman_pipeline.{module}"))
    assert found.attempted > 0
    assert found.failed == 0


def test_there_are_examples():
    assert len(WITH_EXAMPLES) >= 10
