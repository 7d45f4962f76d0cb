"""A kernel's machine code is made anew when the kernel or anything it calls changes, and only then."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import caiman_pipeline
from caiman_pipeline.numerics.kernels import compiled, machine_code_key

PACKAGE = Path(caiman_pipeline.__file__).parent
# A kernel of `traces.events` calls two of `traces.oasis_ar1`; another one of that file is called by neither.
CALL = """
import numpy as np
from caiman_pipeline.traces import events, oasis_ar1
y, w = np.array([1.0, 2.0, 4.0]), np.ones(3)
first, sums, powers = np.array([0, 3]), np.array([[7.0], [3.0], [3.0], [0.0]]), np.ones(4)
print(events._squared_residual(y, w, 0.5, first, sums, 1, powers), oasis_ar1.decay_powers(0.5, 3).sum())
"""


@pytest.fixture
def package(tmp_path):
    """A copy of the package, without what was compiled."""
    shutil.copytree(PACKAGE, tmp_path / "caiman_pipeline", ignore=shutil.ignore_patterns("__pycache__", "models"))
    return tmp_path


def _run(package):
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"} | {"PYTHONPATH": str(package)}
    done = subprocess.run(
        [sys.executable, "-c", CALL], env=environment, cwd=package, capture_output=True, text=True, check=True
    )
    return [float(word) for word in done.stdout.split()]


def _compiled(package):
    files = (package / "caiman_pipeline/traces/__pycache__").glob("*.nbc")
    return {path.name.split("-")[0]: path.stat().st_mtime_ns for path in files}


def _edit(package, old, new):
    file = package / "caiman_pipeline/traces/oasis_ar1.py"
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))


def test_an_edit_of_a_callee_in_another_file_is_noticed_and_nothing_else_compiled(package):
    before, first = _run(package), _compiled(package)
    assert before[0] == pytest.approx(0.5**2 + 1.5**2 + 3.5**2)
    _edit(package, "second += w[t] * y[t] * y[t]", "second += 2.0 * w[t] * y[t] * y[t]")
    after, second = _run(package), _compiled(package)
    assert after[0] - before[0] == pytest.approx(21)
    assert after[1] == before[1]
    again = {name for name, when in second.items() if first[name] != when}
    assert {"events._squared_residual", "oasis_ar1.data_moments"} <= again
    assert "oasis_ar1.decay_powers" not in again
    assert "oasis_ar1.pool_moments" not in again


def test_comments_and_lines_above_compile_nothing(package):
    before, first = _run(package), _compiled(package)
    _edit(package, "from __future__ import annotations", "# Said differently.\n\nfrom __future__ import annotations")
    assert _run(package) == before
    assert _compiled(package) == first


def _key_of(source):
    names = {"compiled": compiled, "np": np}
    exec(source, names)
    return machine_code_key(names["outer"])


INNER = "SCALE = 2.0\n@compiled\ndef inner(x):\n    return SCALE * x\n"
OUTER = "@compiled\ndef outer(x):\n    '''Say what.'''\n    return inner(x) + 1.0\n"


@pytest.mark.parametrize(
    ("source", "same"),
    [
        (INNER + OUTER, True),
        (INNER + OUTER.replace("Say what", "Say why"), True),
        ("\n\n# a comment\n" + INNER + OUTER, True),
        (OUTER + INNER, True),  # what is called may be written below
        (INNER.replace("2.0", "3.0") + OUTER, False),
        (INNER.replace("*", "-") + OUTER, False),
        (INNER + OUTER.replace("1.0", "1.5"), False),
        (INNER.replace("@compiled", "@compiled(fastmath={'contract'})") + OUTER, False),
        (INNER.replace("2.0", "np.array([2.0])") + OUTER, False),
    ],
)
def test_the_key_stands_for_code_constants_options_and_callees(source, same):
    assert (_key_of(source) == _key_of(INNER + OUTER)) is same


def test_kernels_that_call_each_other_have_a_key():
    source = "@compiled\ndef other(n):\n    return 0 if n == 0 else outer(n - 1)\n"
    source += "@compiled\ndef outer(n):\n    return 0 if n == 0 else other(n - 1)\n"
    assert _key_of(source) != _key_of(source.replace("n == 0", "n == 1"))
