"""Print figures of the house: sizes of functions and files, sections of docstrings, modules that lie loose.

python tests/house_figures.py
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from statistics import median

PACKAGE = Path(__file__).parents[1] / "caiman_pipeline"
# The package itself is no room and no loose module.
FRONT = "__init__.py"


def modules() -> list[Path]:
    """Return every module of the package."""
    return sorted(PACKAGE.rglob("*.py"))


def loose_modules() -> list[str]:
    """Return the modules that lie in no room."""
    return sorted(p.name for p in PACKAGE.glob("*.py") if p.name != FRONT)


def kept_layouts() -> int:
    """Count places that the formatter is told to leave alone."""
    files = [*modules(), *(PACKAGE.parent / "tests").rglob("*.py")]
    return sum(len(re.findall(r"# fmt: (?:skip|off)", p.read_text())) for p in files if p != Path(__file__))


def public_functions() -> list[tuple[Path, ast.FunctionDef]]:
    """Return functions and methods with arguments that other modules may call: not private, no kernel, no verb."""
    found = []
    for path in modules():
        if path.parent.name == "cli":
            continue
        tree = ast.parse(path.read_text())
        classes = [n for n in tree.body if isinstance(n, ast.ClassDef) and not n.name.startswith("_")]
        nodes = [*tree.body, *(n for c in classes for n in c.body)]
        found += [(path, n) for n in nodes if isinstance(n, ast.FunctionDef) and _counts(n)]
    return found


def _counts(node: ast.FunctionDef) -> bool:
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    named = [a for a in arguments if a.arg not in ("self", "cls")]
    return (
        bool(named)
        and not node.name.startswith("_")
        and not any("compiled" in ast.unparse(d) for d in node.decorator_list)
    )


def kernel_arguments() -> dict[str, int]:
    """Return how many positional arguments each kernel takes, by module and name."""
    found = {}
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and any("compiled" in ast.unparse(d) for d in node.decorator_list):
                found[f"{path.relative_to(PACKAGE)} {node.name}"] = len(node.args.args)
    return found


def documented_share(section: str) -> float:
    """Return the share of public functions with arguments whose docstring has ``section``.

    What returns or yields nothing needs no section for it and does not count there.
    """
    names, functions = section, [node for _, node in public_functions()]
    if section == "Returns":
        names = "(?:Returns|Yields)"
        functions = [node for node in functions if node.returns is not None and ast.unparse(node.returns) != "None"]
    texts = [ast.get_docstring(node) or "" for node in functions]
    return sum(bool(re.search(rf"^{names}\n-+$", text, re.M)) for text in texts) / len(texts)


def described_arguments(node: ast.FunctionDef) -> list[str] | None:
    """Return the names that a docstring's Parameters describe, None where it has no such section."""
    found = re.search(r"^Parameters\n-+\n(.*?)(?=^\w[\w ]*\n-+$|\Z)", ast.get_docstring(node) or "", re.M | re.S)
    if found is None:
        return None
    lines = [line.split(" : ")[0] for line in found[1].splitlines() if re.match(r"[\w, ]+ : ", line)]
    return [name.strip() for line in lines for name in line.split(",")]


def function_lines() -> list[int]:
    """Return the lines of every function, docstring included."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    trees = [ast.parse(p.read_text()) for p in modules()]
    return [
        n.end_lineno - n.lineno + 1 for tree in trees for n in ast.walk(tree) if isinstance(n, kinds) and n.end_lineno
    ]


def main() -> None:
    """Print the figures."""
    lines, files = sorted(function_lines()), [len(p.read_text().splitlines()) for p in modules()]
    loose = loose_modules()
    print(f"functions        {len(lines)}, median {median(lines):.0f} lines, 95% below {lines[int(0.95 * len(lines))]}")
    print(f"files            {len(files)}, median {median(files):.0f} lines, longest {max(files)}")
    print(f"loose modules    {len(loose)}: {', '.join(loose)}")
    print(f"kept layouts     {kept_layouts()}")
    widest = sorted(kernel_arguments().items(), key=lambda item: -item[1])[:3]
    print(f"widest kernels   {', '.join(f'{name} ({count})' for name, count in widest)}")
    print(f"public functions with arguments: {len(public_functions())}")
    for section in ("Parameters", "Returns", "Raises", "References", "Examples"):
        print(f"  with {section:<11} {documented_share(section):.0%}")


if __name__ == "__main__":
    main()
