"""Change the numerics a little at random places, and count how many of the changes no unit test notices.

    python tests/mutation.py --sample 100 --seed 1 --jobs 2

Each mutation changes one expression: a comparison, a sign, a constant, a term that is left out. The unit tests of its
module run in a copy of the project: those that mirror it and those that import it; of a module that has none, those of
what imports it. Tests marked ``slow`` or ``real_data`` are left out. A mutation is found if a test fails
that passes without it, or if the tests no longer end, or
crash.
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import queue
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = "caiman_pipeline"
ROOMS = ("numerics", "motion", "extraction", "traces", "quality", "movies/axes.py")
LEFT_OUT = (".git", ".venv*", "demo", "site", "dist", "build", ".snakemake", ".*_cache", "wheelhouse")
FOUND, SURVIVED, UNDECIDED = "found", "survived", "undecided"

EDGES = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
FLIPS = {
    ast.Lt: ast.Gt,
    ast.LtE: ast.GtE,
    ast.Gt: ast.Lt,
    ast.GtE: ast.LtE,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
OPERATORS = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
CALLS = {"maximum": "minimum", "minimum": "maximum", "max": "min", "min": "max", "any": "all", "all": "any"}
CALLS |= {"argmax": "argmin", "argmin": "argmax", "ceil": "floor", "floor": "ceil", "mean": "sum", "sum": "mean"}


@dataclass(frozen=True)
class Mutation:
    """One expression of a module replaced by another: bytes ``start`` to ``stop`` of the file by ``text``."""

    path: Path
    line: int
    start: int
    stop: int
    text: str
    kind: str

    def of(self, source: bytes) -> bytes:
        """Return the mutated file."""
        return source[: self.start] + self.text.encode() + source[self.stop :]

    def diff(self, source: bytes) -> str:
        """Return the lines before and after, marked by - and +."""
        first = source.rfind(b"\n", 0, self.start) + 1
        after = source.find(b"\n", self.stop)
        old = source[first:after].decode()
        new = self.of(source)[first : after + len(self.of(source)) - len(source)].decode()
        return "\n".join(
            [*(f"  - {x.strip()}" for x in old.splitlines()), *(f"  + {x.strip()}" for x in new.splitlines())]
        )


def mutations_of(path: Path) -> list[Mutation]:
    """Return every mutation of a module, in the order of its text."""
    source = path.read_bytes()
    offsets = [0]
    for line in source.splitlines(keepends=True):
        offsets.append(offsets[-1] + len(line))
    found = []
    for node in _expressions(ast.parse(source)):
        start = offsets[node.lineno - 1] + node.col_offset
        stop = offsets[node.end_lineno - 1] + node.end_col_offset
        for kind, text in _variants(node):
            found.append(Mutation(path, node.lineno, start, stop, text, kind))
    return sorted(found, key=lambda m: (m.start, m.stop, m.text))


def _expressions(node: ast.AST) -> Iterator[ast.expr | ast.AugAssign]:
    """Yield what decides numbers; not annotations, decorators, messages of errors, texts."""
    if isinstance(node, ast.Raise | ast.Assert | ast.JoinedStr | ast.Import | ast.ImportFrom):
        return
    if isinstance(node, ast.expr | ast.AugAssign):
        yield node
    skipped = ("annotation", "returns", "decorator_list", "ctx")
    for name, value in ast.iter_fields(node):
        if name not in skipped:
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from _expressions(child)


def _variants(node: ast.expr | ast.AugAssign) -> Iterator[tuple[str, str]]:
    """Yield (kind, text) of each replacement of an expression; brackets keep what stands around it apart."""
    if isinstance(node, ast.AugAssign):
        yield "statement dropped", "pass"
        if type(node.op) in OPERATORS:
            yield "operator", ast.unparse(_with(node, op=OPERATORS[type(node.op)]()))
        return
    for kind, new in _replaced(node):
        yield kind, f"({ast.unparse(new)})"


def _replaced(node: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(node, ast.Compare):
        yield from _other_comparison(node)
    elif isinstance(node, ast.BinOp) and type(node.op) in OPERATORS and not _is_text(node):
        yield "operator", _with(node, op=OPERATORS[type(node.op)]())
        yield "term dropped", node.left
        if not isinstance(node.op, ast.Div | ast.FloorDiv | ast.Mod | ast.Pow):
            yield "term dropped", node.right
    elif isinstance(node, ast.BoolOp):
        for i in range(len(node.values)):
            rest = [*node.values[:i], *node.values[i + 1 :]]
            yield "term dropped", rest[0] if len(rest) == 1 else _with(node, values=rest)
    elif isinstance(node, ast.UnaryOp):
        yield "term dropped", node.operand
    elif isinstance(node, ast.Constant):
        yield from (("constant", ast.Constant(value)) for value in _other_values(node.value))
    elif isinstance(node, ast.IfExp):
        yield "branch", node.body
        yield "branch", node.orelse
    elif isinstance(node, ast.Call):
        yield from _other_call(node)


def _other_comparison(node: ast.Compare) -> Iterator[tuple[str, ast.expr]]:
    for i, operator in enumerate(node.ops):
        for kind, table in (("boundary", EDGES), ("comparison", FLIPS)):
            if type(operator) in table:
                yield kind, _with(node, ops=[*node.ops[:i], table[type(operator)](), *node.ops[i + 1 :]])


def _other_values(value: object) -> tuple[bool | int | float, ...]:
    if isinstance(value, bool):
        return (not value,)
    return (value + 1, value - 1) if isinstance(value, int | float) else ()


def _other_call(node: ast.Call) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(node.func, ast.Attribute) and node.func.attr in CALLS:
        yield "function", _with(node, func=_with(node.func, attr=CALLS[node.func.attr]))
    elif isinstance(node.func, ast.Name) and node.func.id in CALLS:
        yield "function", _with(node, func=_with(node.func, id=CALLS[node.func.id]))


def _with(node: ast.AST, **values: object) -> ast.AST:
    changed = copy.copy(node)
    for name, value in values.items():
        setattr(changed, name, value)
    return changed


def _is_text(node: ast.AST) -> bool:
    return any(
        isinstance(n, ast.Constant | ast.JoinedStr) and isinstance(getattr(n, "value", ""), str) for n in ast.walk(node)
    )


def modules(root: Path, rooms: tuple[str, ...]) -> list[Path]:
    """Return the modules that are mutated."""
    places = [root / PACKAGE / room for room in rooms]
    return [p for place in places for p in (sorted(place.rglob("*.py")) if place.is_dir() else [place])]


def sample(root: Path, rooms: tuple[str, ...], *, size: int, seed: int) -> list[Mutation]:
    """Draw mutations at random, each with the same chance; the same for the same seed and code."""
    everything = [m for path in modules(root, rooms) for m in mutations_of(path)]
    return random.Random(seed).sample(everything, min(size, len(everything)))


class Suite:
    """Which tests belong to a module, read from what tests and modules import."""

    def __init__(self, root: Path) -> None:
        self.unit = root / "tests/unit"
        self.tests = {p: _imported(p, root) for p in sorted(self.unit.rglob("test_*.py"))}
        helpers = [p for p in sorted(self.unit.glob("*.py")) if not p.name.startswith("test_")]
        self.modules = {p: _imported(p, root) for p in [*sorted((root / PACKAGE).rglob("*.py")), *helpers]}

    def of(self, path: Path) -> list[Path]:
        """Return the test files of a module: the one that mirrors it first; all of its room if none leads to it."""
        wanted, seen = {path}, set()
        while wanted:
            found = [t for t, used in self.tests.items() if used & wanted or any(_mirrors(t, w) for w in wanted)]
            if found:
                return sorted(found, key=lambda t: (not _mirrors(t, path), t.stat().st_size))
            seen |= wanted
            wanted = {m for m, used in self.modules.items() if used & wanted} - seen
        return sorted((self.unit / path.parent.name).glob("test_*.py"))


def _mirrors(test: Path, module: Path) -> bool:
    return test.name == f"test_{module.name}" and test.parent.name in (module.parent.name, "unit")


def _imported(path: Path, root: Path) -> frozenset[Path]:
    """Return the files of the package, and of helpers of the tests, that a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{a.name}" for a in node.names)}
        elif isinstance(node, ast.Import):
            names |= {a.name for a in node.names}
    files = (place / f"{name.replace('.', '/')}.py" for name in names for place in (root, root / "tests/unit"))
    return frozenset(f for f in files if f.exists())


class Workshop:
    """A copy of the project in which one mutation at a time is tried; its kernels are kept apart from the project's."""

    def __init__(self, root: Path, folder: Path, *, limit_s: float) -> None:
        self.root, self.copy, self.limit_s = root, folder / "project", limit_s
        shutil.copytree(root, self.copy, ignore=shutil.ignore_patterns(*LEFT_OUT))
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(self.copy),
            "PYTHONDONTWRITEBYTECODE": "1",
            "NUMBA_CACHE_DIR": str(folder / "kernels"),
        }
        self.passes = cache(self._passes)

    def try_mutation(self, mutation: Mutation, tests: list[Path]) -> tuple[str, str]:
        """Return what became of a mutation, and the test that found it."""
        target = self.copy / mutation.path.relative_to(self.root)
        source = target.read_bytes()
        for kept in (target.parent / "__pycache__").glob(f"{target.stem}.*.pyc"):
            kept.unlink()
        target.write_bytes(mutation.of(source))
        wanted = tuple(str(t.relative_to(self.root)) for t in tests)
        try:
            status, output = self._run(wanted)
        finally:
            target.write_bytes(source)
        if status == 0:
            return SURVIVED, ""
        failed = re.findall(r"^(?:FAILED|ERROR) (\S+?)(?: - .*)?$", output, re.M)
        if failed:
            name = failed[0].split("[")[0]
            return (FOUND, name) if self.passes(name) else (UNDECIDED, f"{name} fails without it as well")
        why = "the tests do not end" if status is None else "the tests crash"
        unchanged, _ = self._run(wanted)
        return (FOUND, why) if unchanged == 0 else (UNDECIDED, f"{why}, without it as well")

    def _passes(self, test: str) -> bool:
        return self._run((test,))[0] == 0

    def _run(self, tests: tuple[str, ...]) -> tuple[int | None, str]:
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-rfE", "--tb=no", "-p", "no:cacheprovider"]
        command += ["-m", "not slow and not real_data", *tests]
        process = subprocess.Popen(
            command,
            cwd=self.copy,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=self.limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.communicate()
            return None, ""
        return process.returncode, output


def try_all(mutations: list[Mutation], root: Path, *, jobs: int, limit_s: float) -> Counter[str]:
    """Try mutations, print each as it ends, and count what became of them."""
    suite, counts = Suite(root), Counter[str]()
    diffs = [mutation.diff(mutation.path.read_bytes()) for mutation in mutations]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(jobs) as pool:
        shops: queue.Queue[Workshop] = queue.Queue()
        for i in range(jobs):
            shops.put(Workshop(root, Path(folder) / str(i), limit_s=limit_s))

        def attempt(mutation: Mutation) -> tuple[str, str]:
            tests = suite.of(mutation.path)
            if not tests:
                return SURVIVED, "no test imports it"
            shop = shops.get()
            try:
                return shop.try_mutation(mutation, tests)
            finally:
                shops.put(shop)

        for mutation, diff, (verdict, why) in zip(mutations, diffs, pool.map(attempt, mutations), strict=True):
            counts[verdict] += 1
            print(f"{verdict}  {mutation.path.relative_to(root)}:{mutation.line}  {mutation.kind}  {why}")
            print(diff, flush=True)
    return counts


def main() -> int:
    """Print the share of mutations that survive; the status is 0 whatever it is, unless nothing could be decided."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=100, help="mutations to try")
    parser.add_argument("--seed", type=int, default=1, help="which mutations these are")
    parser.add_argument("--jobs", type=int, default=1, help="mutations tried at once")
    parser.add_argument("--limit", type=float, default=600, help="seconds that the tests of one mutation may take")
    parser.add_argument("--rooms", nargs="+", default=ROOMS, help="folders or modules of the package")
    parser.add_argument("--root", type=Path, default=ROOT, help="the project")
    args = parser.parse_args()
    drawn = sample(args.root, tuple(args.rooms), size=args.sample, seed=args.seed)
    counts = try_all(drawn, args.root, jobs=args.jobs, limit_s=args.limit)
    decided = counts[FOUND] + counts[SURVIVED]
    if not decided:
        return 1
    print(f"{counts[SURVIVED]} of {decided} mutations survived ({counts[SURVIVED] / decided:.0%}), seed {args.seed}")
    if counts[UNDECIDED]:
        print(f"{counts[UNDECIDED]} undecided")
    return 0


if __name__ == "__main__":
    sys.exit(main())
