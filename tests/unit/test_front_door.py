"""What ``import caiman_pipeline`` offers: light to import, whole, documented, and open to those who look around."""

import inspect
import re
import subprocess
import sys

import pytest

import caiman_pipeline as cp

FUNCTIONS = [n for n in cp.__all__ if inspect.isfunction(getattr(cp, n))]


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, caiman_pipeline; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    ours = {name for name in loaded if name.startswith("caiman_pipeline.")}
    assert not ours | ({"numpy", "pandas", "pydantic", "h5py"} & set(loaded))


def test_every_public_name_is_there_and_listed():
    assert set(cp.__all__) <= set(dir(cp))
    for name in cp.__all__:
        assert getattr(cp, name) is getattr(cp, name)
    assert len(FUNCTIONS) >= 12
    with pytest.raises(AttributeError, match="open_movy"):
        _ = cp.open_movy


def test_a_type_checker_knows_every_public_name():
    text = inspect.getsource(cp)
    told = set(re.findall(r"import (\w+) as \1", text))
    assert told == set(cp.__all__) - {"__version__"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_public_function_says_what_it_takes_returns_and_raises_with_an_example(name):
    text = inspect.getdoc(getattr(cp, name))
    returns = [] if inspect.signature(getattr(cp, name)).return_annotation in (None, "None") else ["Returns"]
    for section in ("Parameters", *returns, "Raises", "Examples"):
        assert f"{section}\n{'-' * len(section)}" in text, f"{name} has no {section}"
    parameters = text.split("Parameters\n----------\n")[1].split("\n\n")[0]
    named = {n for line in re.findall(r"^(\w[\w, ]*) ?:", parameters, re.M) for n in re.split(r", *", line.strip())}
    assert set(inspect.signature(getattr(cp, name)).parameters) <= named
    assert ">>> " in text
