"""The table of CaImAn's functions and parameters: what it points at exists, and its names are answered."""

import argparse
import importlib
from pathlib import Path

import pytest

import caiman_pipeline
from caiman_pipeline.cli.main import VERBS
from caiman_pipeline.config.from_caiman import KINDS, STATES, Row, answer_to, coverage
from caiman_pipeline.config.root import Config, load_config
from caiman_pipeline.config.validate import known_keys
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.stages import OUTPUTS, STAGES

PACKAGE = Path(caiman_pipeline.__file__).parent
KEYS = set(known_keys(Config))


def _options(verb):
    parser = argparse.ArgumentParser()
    importlib.import_module(f"caiman_pipeline.cli.{VERBS[verb][0]}").add_arguments(parser)
    return {option for action in parser._actions for option in action.option_strings}


def _is_public(name):
    first, _, rest = name.partition(".")
    return first in caiman_pipeline.__all__ and (not rest or hasattr(getattr(caiman_pipeline, first), rest))


def missing(rows):
    """Return what rows point at that does not exist."""
    found = []
    for row in rows:
        for kind, name in row.here:
            verb, _, option = name.partition(" ")
            there = {
                "key": lambda name=name: name in KEYS,
                "verb": lambda verb=verb, option=option: verb in VERBS and (not option or option in _options(verb)),
                "api": lambda name=name: _is_public(name),
                "stage": lambda name=name: name in STAGES,
                "result": lambda name=name: name in OUTPUTS,
                "module": lambda name=name: (PACKAGE / name).is_file(),
                "sheet": lambda name=name: name in ("files", "recording"),
            }[kind]()
            found += [] if there else [f"{row.chapter}, {row.name}: {kind} {name}"]
    return found


def test_everything_that_the_table_points_at_exists():
    assert not missing(coverage())


@pytest.mark.parametrize(
    "here",
    [
        ("key", "traces.p"),
        ("verb", "play"),
        ("verb", "convert --gain"),
        ("api", "play_movie"),
        ("api", "Movie.resize"),
        ("stage", "fit"),
        ("result", "estimates"),
        ("module", "cnmf/hals.py"),
        ("sheet", "fnames"),
    ],
)
def test_what_does_not_exist_is_noticed(here):
    assert here[0] in KINDS
    assert len(missing([Row("c", "n", "works", (here,), "")])) == 1


def test_rows_are_complete():
    rows = coverage()
    assert len(rows) > 1100
    assert {row.state for row in rows} == set(STATES)
    assert len({(row.chapter, row.name) for row in rows}) > 1090
    assert not [row.name for row in rows if row.state in ("works", "partly") and not row.here]
    assert not [row.name for row in rows if row.state == "replaced" and not (row.here or row.note)]
    assert {kind for row in rows for kind, _ in row.here} <= set(KINDS)


def test_names_of_caiman_are_answered_with_the_names_here():
    with pytest.raises(
        PipelineError, match=r"unknown key `patch_cnmf\.K`: CaImAn's `K` is `patch_cnmf\.components` here"
    ):
        load_config({"patch_cnmf": {"K": 30}})
    with pytest.raises(PipelineError, match=r"CaImAn's `use_cuda` has no key here \(no GPU path"):
        load_config({"motion": {"use_cuda": True}})
    with pytest.raises(PipelineError, match=r"did you mean `traces\.order`"):
        load_config({"traces": {"ordr": 2}})
    assert answer_to("p").startswith("CaImAn's `p` is `traces.order` here")
    assert answer_to("no_such_parameter") == ""
