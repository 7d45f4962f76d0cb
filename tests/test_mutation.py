"""What `make mutation` changes, and which tests it runs."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.mutation import ROOMS, ROOT, Mutation, Suite, modules, mutations_of, sample

SOURCE = '''
"""A module that says 3 + 4."""

LEAST: int = 3


@decorated(5)
def f(x: Array[2], k=1):
    """Return 2 * x."""
    if x < LEAST and k:
        raise ValueError(f"{x + 1} is below {LEAST}")
    x -= k
    total = max(x, 0.5) * k
    return -total if x[0] else [ä + total for ä in x]
'''


@pytest.fixture
def mutations(tmp_path: Path) -> list[Mutation]:
    path = tmp_path / "m.py"
    path.write_text(SOURCE)
    return mutations_of(path)


def test_every_mutation_is_code_and_changes_one_expression(mutations: list[Mutation]) -> None:
    made = {m.of(SOURCE.encode()).decode() for m in mutations}
    assert len(made) == len(mutations)
    plain = ast.dump(ast.parse(SOURCE))
    assert all(ast.dump(ast.parse(text)) != plain for text in made)
    whole = "\n".join(made)
    for expected in (
        "LEAST: int = (4)",
        "k=(0)",
        "if (x <= LEAST) and k:",
        "if (x > LEAST) and k:",
        "if (x < LEAST):",
        "    pass\n",
        "x += k",
        "(min(x, 0.5)) * k",
        "max(x, (-0.5))",
        "(max(x, 0.5) / k)",
        "[(ä - total) for ä in x]",
        "return (-total)",
        "(total) if x[0]",
    ):
        assert expected in whole
    for kept in ("@decorated(5)", "Array[2]", 'Return 2 * x."""', '{x + 1} is below {LEAST}"', "says 3 + 4"):
        assert whole.count(kept) == len(made)


def test_a_difference_shows_the_lines_before_and_after(mutations: list[Mutation]) -> None:
    (found,) = (m for m in mutations if m.kind == "boundary")
    assert found.diff(SOURCE.encode()) == "  - if x < LEAST and k:\n  + if (x <= LEAST) and k:"
    assert SOURCE.splitlines()[found.line - 1].strip() == "if x < LEAST and k:"


def test_a_sample_is_the_same_for_a_seed_and_from_every_room() -> None:
    assert sample(ROOT, ROOMS, size=20, seed=5) == sample(ROOT, ROOMS, size=20, seed=5)
    assert sample(ROOT, ROOMS, size=20, seed=5) != sample(ROOT, ROOMS, size=20, seed=6)
    assert {m.relative_to(ROOT / "caiman_pipeline").parts[0] for m in modules(ROOT, ROOMS)} == {
        r.split("/")[0] for r in ROOMS
    }


def test_every_module_has_tests_and_the_one_that_mirrors_it_is_the_first() -> None:
    suite = Suite(ROOT)
    assert suite.of(ROOT / "caiman_pipeline/motion/warp.py")[0] == ROOT / "tests/unit/motion/test_warp.py"
    assert not [m for m in modules(ROOT, ROOMS) if m.name != "__init__.py" and not suite.of(m)]
