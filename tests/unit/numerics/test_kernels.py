"""A kernel's machine code is made anew when the kernel or anything it calls changes, and only then."""

import errno
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba.core import caching

import caiman_pipeline
from caiman_pipeline.numerics import kernels
from caiman_pipeline.numerics.kernels import _UserWide, compiled, machine_code_key

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


def test_fields_of_a_record_in_another_order_are_noticed(tmp_path):
    source = """
from typing import NamedTuple
from caiman_pipeline.numerics.kernels import compiled

class Pair(NamedTuple):
    first: float
    second: float

@compiled
def difference(pair):
    return pair.first - pair.second

print(difference(Pair(first=3.0, second=1.0)))
"""
    fields = ("    first: float\n", "    second: float\n")
    swapped = source.replace("".join(fields), "".join(fields[::-1]))
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent), "NUMBA_CACHE_DIR": str(tmp_path / "kept")}
    for text in (source, swapped):
        (tmp_path / "pairs.py").write_text(text)
        done = subprocess.run(
            [sys.executable, "-c", "import pairs"],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        assert float(done.stdout) == 2.0
    assert len({p.name.split("-")[0] for p in (tmp_path / "kept").rglob("*.nbi")}) == 1


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


@pytest.fixture
def places(tmp_path, monkeypatch):
    """An installation, a home and the folders that this user may write; kernels of the installation are made anew."""
    folder = tmp_path / "installed"
    folder.mkdir()
    (folder / "tripled.py").write_text(
        "from caiman_pipeline.numerics.kernels import compiled\n\n@compiled\ndef tripled(x):\n    return 3 * x + 0.25\n"
    )
    monkeypatch.setattr(caching.config, "CACHE_DIR", "")
    monkeypatch.setattr(_UserWide, "get_cache_path", lambda self: str(tmp_path / "home"))
    writable = {str(folder / "__pycache__"), str(tmp_path / "home"), str(tmp_path / "given")}
    able = kernels._can_be_written
    monkeypatch.setattr(kernels, "_can_be_written", lambda path: path in writable and able(path))
    kernels._say_once.cache_clear()
    return tmp_path, writable


def _fresh(folder):
    """Return the kernel as a new process would import it."""
    spec = importlib.util.spec_from_file_location("tripled", folder / "installed/tripled.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.tripled


def _hits(kernel):
    assert kernel(2.0) == 6.25
    return sum(kernel.stats.cache_hits.values())


def _kept(folder):
    return list(folder.glob("*.nbc"))


def test_kernels_of_an_installation_are_read_by_users_who_cannot_write_there(places):
    folder, writable = places
    assert _hits(_fresh(folder)) == 0
    assert _kept(folder / "installed/__pycache__")
    writable.remove(str(folder / "installed/__pycache__"))
    assert _hits(_fresh(folder)) == 1
    assert not _kept(folder / "home")


def test_kernels_are_kept_at_home_where_the_installation_cannot_be_written(places):
    folder, writable = places
    writable.remove(str(folder / "installed/__pycache__"))
    assert _hits(_fresh(folder)) == 0
    assert _kept(folder / "home")
    assert _hits(_fresh(folder)) == 1


def test_without_a_place_to_write_numbers_are_the_same_and_one_line_says_so(places, caplog):
    folder, writable = places
    writable.clear()
    for _ in range(2):
        assert _hits(_fresh(folder)) == 0
    assert [r.getMessage() for r in caplog.records] == [
        "compiled kernels cannot be kept (no folder for them can be written). "
        "Set NUMBA_CACHE_DIR to a folder of your own."
    ]
    assert not list(folder.rglob("*.nb?"))


def test_a_full_disk_stops_no_job(places, monkeypatch, caplog):
    folder, _ = places

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(caching.IndexDataCacheFile, "save", full)
    assert _hits(_fresh(folder)) == 0
    assert "No space left on device" in caplog.text


def test_many_processes_may_fill_one_folder_at_once(places):
    folder, _ = places
    shared = folder / "given"
    path = os.pathsep.join([str(folder / "installed"), str(PACKAGE.parent)])
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(shared), "PYTHONPATH": path}
    command = [sys.executable, "-c", "from tripled import tripled; print(tripled(2.0))"]
    started = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [p.communicate()[0].strip() for p in started] == ["6.25"] * 3
    (index,) = shared.rglob("*.nbi")
    assert _kept(index.parent)
    assert not [p for p in shared.rglob("*") if p.is_file() and p.suffix not in (".nbi", ".nbc")]
