"""What the workflow uses of Snakemake beyond its documentation: what breaks, and where, if a new version changes it."""

from __future__ import annotations

import inspect
import logging
import re
import tomllib
from types import SimpleNamespace

import pytest
from packaging.requirements import Requirement
from snakemake import common
from snakemake.io import IOFile
from snakemake.jobs import GroupJob
from snakemake.logging import logger
from snakemake.modules import WorkflowModifier
from snakemake.path_modifier import PathModifier
from snakemake.persistence import PersistenceBase

from .conftest import ROOT

RULES = (ROOT / "workflow/rules/common.smk").read_text()


def test_snakemake_is_bounded_above():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (snakemake,) = [r for r in map(Requirement, project["dependencies"]) if r.name == "snakemake"]
    assert not snakemake.specifier.contains("10.0")


def test_what_is_imported_from_snakemake_is_what_is_tested_here():
    imported = [line for line in RULES.splitlines() if line.startswith(("from snakemake", "import snakemake"))]
    assert imported == [
        "from snakemake.io import IOFile",
        "from snakemake.jobs import GroupJob",
        "from snakemake.logging import logger",
    ]
    assert not re.search(r"\._(?!_signature__)", RULES), "nothing that is marked as private"


class _Heard(logging.Handler):
    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        self.records.append(record)


def test_what_is_noted_of_a_result_can_be_forgotten():
    """`forget_old_results` asks for it; without, a selection that failed is taken for made."""
    assert list(inspect.signature(PersistenceBase.cleanup_metadata).parameters) == ["self", "target"]
    assert str(IOFile("results/m/select/selection.h5")) == "results/m/select/selection.h5"


def test_a_groups_error_hands_on_what_it_is_given_besides_the_message():
    """`with_message` gives it the executor's message once more; without, the summary has no words of the scheduler."""
    heard = _Heard()
    logger.addHandler(heard)
    try:
        GroupJob.log_error(SimpleNamespace(jobs=[], groupid="g"), msg="refused", aux_logs=["a.log"], said="refused")
    finally:
        logger.removeHandler(heard)
    told = vars(heard.records[0])
    assert str(told["event"]) == "group_error"
    assert told["said"] == "refused"
    assert told["aux_logs"] == ["a.log"]
    assert told["job_error_info"] == []


def test_a_functions_kept_signature_is_the_one_that_is_asked_for():
    """`looked_up` keeps it on the function; without, a thousand recordings take seconds longer."""

    def asked(wildcards, threads):
        return None

    asked.__signature__ = inspect.signature(asked)
    assert list(common.get_function_params(asked)) == ["wildcards", "threads"]
    asked.__signature__ = inspect.signature(lambda only: None)
    assert list(common.get_function_params(asked)) == ["only"]


@pytest.mark.parametrize(("host", "path"), [(None, "results/m"), ("below", "below/results/m")])
def test_a_modules_prefix_can_be_asked_for(host, path):
    """`placed` asks for it; without, memory is guessed and the summary looks in the wrong folder."""
    assert PathModifier(None, host, workflow=None).replace_prefix("results/m") == path


def test_a_module_can_be_told_from_a_workflow_of_its_own():
    assert WorkflowModifier.is_main_snakefile(SimpleNamespace(base_snakefile=None))
    assert not WorkflowModifier.is_main_snakefile(SimpleNamespace(base_snakefile="Snakefile"))
