"""The rules of the house that can be counted: sizes, direction of imports, what is never written."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from caiman_pipeline.cli.main import VERBS
from caiman_pipeline.config.generate import documented_keys
from caiman_pipeline.config.root import Config
from caiman_pipeline.stages import OUTPUTS, STAGES
from tests.house_figures import (
    described_arguments,
    documented_share,
    kept_layouts,
    kernel_arguments,
    loose_modules,
    public_functions,
)

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "caiman_pipeline"
MODULES = sorted(PACKAGE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text()) for path in MODULES}
# Arguments whose default changes no result: one thread, traces at full rate.
NEUTRAL = ("threads", "frames_per_bin")
NOT_NUMERICS = ("cli", "config", "movies", "results", "simulation", "report")
# How kernels are decorated: numba's own decorators would keep a cache that edits of callees can make stale.
COMPILED = "compiled"
HEAVY = {"numba", "scipy", "cv2", "h5py", "tifffile", "zarr", "pynwb", "hdmf", "matplotlib", "skimage", "psutil"}


def _functions():
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield path, node


def _code_lines(path, node):
    """Count a function's lines of code, without its docstring, comments and blank lines."""
    skip = set()
    first = node.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        skip = set(range(first.lineno, first.end_lineno + 1))
    lines = path.read_text().splitlines()
    kept = (i for i in range(node.lineno, node.end_lineno + 1) if i not in skip)
    return sum(1 for i in kept if lines[i - 1].strip() and not lines[i - 1].strip().startswith("#"))


def _is_kernel(node):
    return any(ast.unparse(d).startswith(COMPILED) for d in node.decorator_list)


def _where(path, node):
    return f"{path.relative_to(ROOT)}:{node.lineno} {getattr(node, 'name', '')}"


def _imports(tree, *, top_level):
    body = tree.body if top_level else list(ast.walk(tree))
    for node in body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_functions_are_short():
    sizes = {_where(p, n): _code_lines(p, n) for p, n in _functions() if not _is_kernel(n)}
    long = {name: size for name, size in sizes.items() if size > 45}
    assert len(long) <= 0.05 * len(sizes), f"more than 5% of functions exceed 45 lines: {long}"
    assert not {n: s for n, s in sizes.items() if s > 70}, "no function exceeds 70 lines"
    assert sorted(sizes.values())[len(sizes) // 2] <= 14, "the typical function is about 12 lines"


def test_kernels_are_short():
    assert not {_where(p, n): _code_lines(p, n) for p, n in _functions() if _is_kernel(n) and _code_lines(p, n) > 80}


def _kernels():
    """Return every kernel by module and name: its node, and the kernels that it calls."""
    found = {(path, node.name): node for path, node in _functions() if _is_kernel(node)}
    places = {
        (path.relative_to(ROOT).with_suffix("").as_posix().replace("/", "."), name): (path, name)
        for path, name in found
    }
    calls = {}
    for (path, name), node in found.items():
        imported = {
            a.asname or a.name: places.get((n.module, a.name))
            for n in ast.walk(TREES[path])
            if isinstance(n, ast.ImportFrom)
            for a in n.names
        }
        used = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} - {name}
        calls[path, name] = {(path, n) if (path, n) in found else imported.get(n) for n in used} - {None}
    return found, calls


def test_kernels_whose_sums_may_be_reordered_are_inlined_where_they_are_called():
    """Else the process that compiles one and those that read it from the cache run code that adds in another order."""
    found, calls = _kernels()
    loose = {k for k, node in found.items() if any("fastmath" in ast.unparse(d) for d in node.decorator_list)}
    while more := {k for k, called in calls.items() if called & loose} - loose:
        loose |= more
    called = set().union(*calls.values())
    assert len(loose & called) > 15
    outside = [k for k in loose & called if "inline" not in ast.unparse(found[k].decorator_list[0])]
    assert not outside


def test_kernels_take_records_rather_than_many_arrays():
    """A named tuple costs neither time to compile nor to run; arrays in the wrong order are noticed by nobody."""
    counts = kernel_arguments()
    assert len(counts) > 100
    assert not {name: count for name, count in counts.items() if count > 14}


def test_kernels_are_compiled_in_one_way():
    outside = [p for p in MODULES if p.relative_to(PACKAGE).as_posix() != "numerics/kernels.py"]
    assert not [p for p in outside if re.search(r"\b(njit|vectorize|guvectorize)\b", p.read_text())]
    assert sum(_is_kernel(node) for _, node in _functions()) > 100


def test_files_are_short():
    sizes = {str(p.relative_to(ROOT)): len(p.read_text().splitlines()) for p in MODULES}
    assert not {name: size for name, size in sizes.items() if size > 400}


def test_modules_have_rooms():
    assert len(loose_modules()) <= 6, loose_modules()


def test_the_formatter_lays_out_the_code():
    assert kept_layouts() <= 2


def test_functions_take_few_positional_arguments():
    crowded = []
    for path, node in _functions():
        names = [a.arg for a in (*node.args.posonlyargs, *node.args.args) if a.arg not in ("self", "cls")]
        most = 5 if node.name.startswith("_") else 4
        if len(names) > most and not _is_kernel(node):
            crowded.append(f"{_where(path, node)} {names}")
    assert not crowded, "more than four positional arguments; make them keyword-only"


def test_no_keyword_arguments_are_passed_through():
    # A config key hands its bounds to pydantic, a page's template takes any names, a kernel hands its options to numba.
    allowed = {"key", "fill", "compiled"}
    assert not [_where(p, n) for p, n in _functions() if n.args.kwarg and n.name not in allowed]


def test_defaults_live_in_the_config_only():
    """Numerics take required keyword arguments; the simulator has settings of its own, figures have sizes."""
    found = []
    for path, node in _functions():
        if path.relative_to(PACKAGE).parts[0] in NOT_NUMERICS or node.name.startswith("_"):
            continue
        named = zip((a.arg for a in node.args.kwonlyargs), node.args.kw_defaults, strict=True)
        defaults = [*(d for name, d in named if name not in NEUTRAL), *node.args.defaults]
        found += [_where(path, node)] if any(_is_number(d) for d in defaults) else []
    assert not found, "a default number outside of config/"


def _is_number(node):
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool)


def test_only_verbs_know_of_the_command_line():
    """Imports point one way: Snakefile, verbs, stages, movies and results, records."""
    for path, tree in TREES.items():
        if path.parent.name == "cli":
            continue
        wrong = [m for m in _imports(tree, top_level=False) if m.startswith(("caiman_pipeline.cli", "snakemake"))]
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


def test_the_command_line_does_not_import_snakemake():
    for path in (PACKAGE / "cli").glob("*.py"):
        assert not [m for m in _imports(TREES[path], top_level=False) if m.split(".")[0] == "snakemake"]


def test_registration_looks_in_windows_and_squares():
    """Names of its code: a cell is a neuron, a patch the name of settings that CaImAn users know."""
    named = [
        f"{path.relative_to(ROOT)}:{node.lineno} {name}"
        for path in (PACKAGE / "motion").glob("*.py")
        for node in ast.walk(TREES[path])
        for name in _names_in(node)
        if re.search(r"cell|patch", name, re.I) and name not in ("cell_diameter", "patch_size", "patch_spacing")
    ]
    assert not named


def _names_in(node):
    """Return the names that a node of the code gives or uses."""
    fields = {ast.Name: "id", ast.Attribute: "attr", ast.arg: "arg", ast.FunctionDef: "name", ast.ClassDef: "name"}
    return [getattr(node, fields[type(node)])] if type(node) in fields else []


def test_lower_rooms_do_not_import_stages():
    """Below every stage: movies, results and numerics; below these, the records, the config and the registry."""
    middle = ("movies", "results", "numerics", "config", "stages", "model", "__version__")
    allowed = {"model": ("model",), "config": ("config", "stages", "model", "__version__")}
    allowed |= {"stages.py": (), **dict.fromkeys(middle[:3], middle)}
    for path, tree in TREES.items():
        room = path.relative_to(PACKAGE).parts[0]
        if room in allowed:
            inside = {m.split(".")[1] for m in _imports(tree, top_level=False) if m.startswith("caiman_pipeline.")}
            assert inside <= set(allowed[room]), path


@pytest.mark.parametrize("folder", ["config", "cli"])
def test_light_modules_import_no_heavy_library_at_the_top(folder):
    heavy = HEAVY | {"numpy"}
    for path in (PACKAGE / folder).glob("*.py"):
        wrong = {m for m in _imports(TREES[path], top_level=True) if m.split(".")[0] in heavy}
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong} at the top"


def test_config_imports_only_the_standard_library_pydantic_and_yaml():
    code = "import sys, caiman_pipeline.config.root, caiman_pipeline.config.sheet; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not ({"numpy"} | HEAVY) & {name.split(".")[0] for name in loaded}


def test_help_imports_neither_numpy_nor_pydantic():
    code = (
        "import sys\nfrom caiman_pipeline.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\nprint('LOADED', *sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    loaded = out.split("LOADED")[1].split()
    assert not {"numpy", "pydantic", "yaml"} & set(loaded)


@pytest.mark.parametrize("verb", VERBS)
def test_verb_can_be_imported_and_explains_itself(verb):
    import argparse
    import importlib

    module = importlib.import_module(f"caiman_pipeline.cli.{VERBS[verb][0]}")
    parser = argparse.ArgumentParser(description=module.__doc__)
    module.add_arguments(parser)
    assert callable(module.run)
    assert "usage:" in parser.format_help()
    for action in parser._actions:
        assert action.help, f"{verb}: {action.dest} has no help"


def test_verbs_are_thin():
    for path in (PACKAGE / "cli").glob("*.py"):
        if path.name not in ("main.py", "stage.py"):
            assert len(path.read_text().splitlines()) <= 90, f"{path.name}: move what it computes into the package"


def test_every_module_of_the_command_line_is_a_verb():
    known = {module for module, _ in VERBS.values()} | {"main", "stage", "__init__"}
    assert {p.stem for p in (PACKAGE / "cli").glob("*.py")} <= known


def _calls(name):
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(name):
                yield path, node


def test_nothing_is_unpickled_and_yaml_is_only_safe_loaded():
    for path, tree in TREES.items():
        assert not {m for m in _imports(tree, top_level=False) if m.split(".")[0] in ("pickle", "dill", "joblib")}, path
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert isinstance(node.value, ast.Constant), f"{path}:{node.value.lineno}"
                assert node.value.value is False, f"{path}:{node.value.lineno}"
    assert not [_where(p, n) for p, n in _calls("yaml.load")]
    loads = [(p, n) for p, n in _calls("np.load") if not any(k.arg == "allow_pickle" for k in n.keywords)]
    assert not [_where(p, n) for p, n in loads], "say allow_pickle=False"


def test_no_failure_is_swallowed():
    found = []
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.ExceptHandler):
                continue
            broad = node.type is None or ast.unparse(node.type) in ("Exception", "BaseException")
            raises = any(isinstance(n, ast.Raise) for n in ast.walk(node))
            found += [_where(path, node)] if broad and not raises else []
    assert not found, "handle what is expected, by name, and let the rest through"


def test_the_global_random_state_is_not_touched():
    pattern = re.compile(r"np\.random\.(?!default_rng|Generator|SeedSequence|PCG64|Philox)\w+|\brandom\.seed\(")
    assert not [f"{p}: {m[0]}" for p in MODULES if (m := pattern.search(p.read_text()))]


def test_there_is_no_grab_bag():
    assert not [p for p in MODULES if p.stem in ("utils", "helpers", "misc", "common")]


def test_nothing_is_left_to_be_done():
    marks = re.compile(r"\b(TBD|TODO|FIXME|XXX|NotImplementedError)\b")
    assert not [f"{p.relative_to(ROOT)}: {m[0]}" for p in MODULES if (m := marks.search(p.read_text()))]


def _attributes(node):
    return {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}


def test_every_config_key_is_read_somewhere():
    """By the package or the workflow, or by a method of the config that these call."""
    inside = {path for path in TREES if path.parent.name == "config"}
    rules = "".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk"))
    used = set(re.findall(r"CONFIG\.\w+\.(\w+)|\.(\w+)", rules))
    used = {name for names in used for name in names}
    used = used.union(*(_attributes(tree) for path, tree in TREES.items() if path not in inside))
    methods = [n for path in inside for n in ast.walk(TREES[path]) if isinstance(n, ast.FunctionDef)]
    for _ in range(3):
        used = used.union(*(_attributes(n) for n in methods if n.name in used))
    unread = [name for name, _ in documented_keys(Config) if name.rsplit(".", 1)[-1] not in used]
    assert not unread, "keys that change nothing"


def test_public_functions_are_documented_and_typed():
    for path, node in _functions():
        if node.name.startswith("_"):
            continue
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        untyped = [a.arg for a in arguments if a.annotation is None and a.arg not in ("self", "cls")]
        assert not untyped or _is_kernel(node), f"{_where(path, node)}: {untyped} have no type"


def test_most_public_functions_say_what_they_take_and_return():
    assert documented_share("Parameters") >= 0.65
    assert documented_share("Returns") >= 0.6


def test_docstrings_describe_the_arguments_that_there_are():
    wrong = []
    for path, node in public_functions():
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        taken = {a.arg for a in (*arguments, node.args.vararg, node.args.kwarg) if a is not None} - {"self", "cls"}
        described = described_arguments(node)
        wrong += [_where(path, node)] if described is not None and not set(described) <= taken else []
    assert not wrong


# What a docstring says of an array, and how it is annotated then.
KINDS = {"float32": "FloatArray", "float64": "FloatArray", "int": "IntArray", "int32": "IntArray", "int64": "IntArray"}
KINDS |= {"uint8": "IntArray", "uint16": "IntArray", "bool": "BoolArray", "complex64": "ComplexArray"}
SAID = re.compile(
    r"(?:^\s*|; )(?:``)?(\w+(?:, \w+)*)(?:``)? : (float32|float64|int|int32|int64|uint8|uint16|bool|complex64) \(", re.M
)


def _said_kinds(node):
    """Yield (name, kind) of arrays whose kind a docstring says, if they are arguments or attributes."""
    for names, kind in SAID.findall(ast.get_docstring(node) or ""):
        yield from ((name, KINDS[kind]) for name in names.split(", "))


def _annotations(node):
    if isinstance(node, ast.ClassDef):
        return {n.target.id: ast.unparse(n.annotation) for n in node.body if isinstance(n, ast.AnnAssign)}
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return {a.arg: ast.unparse(a.annotation) for a in arguments if a.annotation}


def test_arrays_are_annotated_as_their_docstrings_say():
    """Ids, flags and measured numbers are arrays of different kinds, which mypy keeps apart."""
    wrong, seen = [], 0
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                annotated = _annotations(node)
                for name, kind in _said_kinds(node):
                    known = re.findall(r"\w+Array", annotated.get(name, ""))
                    seen += bool(known)
                    wrong += [f"{_where(path, node)}: {name}"] if known and kind not in known else []
    assert not wrong
    assert seen > 150
    bare = re.compile(r"(: |-> |\[)np\.ndarray\b")
    assert not [p for p in MODULES if bare.search(p.read_text())]


def _rules():
    for path in sorted((ROOT / "workflow/rules").glob("*.smk")):
        for text in re.split(r"\n(?=rule |checkpoint )", path.read_text()):
            if text.startswith(("rule ", "checkpoint ")):
                yield path.name, text


def test_every_rule_says_what_it_needs():
    for file, text in _rules():
        name = text.split(":")[0]
        for directive in ("log:", "benchmark:", "resources:", "params:", "shell:"):
            assert f"    {directive}" in text, f"{file}, {name} has no {directive}"
        assert "mem_mb=memory_mb(" in text, f"{file}, {name} does not predict its memory"
        assert "run:" not in text
        # The package is installed where Snakemake runs; an environment or image that does not hold it would hide it.
        assert not re.search(r"^    (conda|container|containerized|envmodules):", text, re.M), f"{file}, {name}"
        assert len(text.strip().splitlines()) <= 36, f"{file}, {name} is too long"


def test_every_value_in_a_shell_command_is_quoted():
    for file, text in _rules():
        for found in re.findall(r"\{((?:input|output|params|log)[^}]*)\}", text.split("shell:")[1]):
            assert found.endswith(":q"), f"{file}: {{{found}}} breaks with a space in a path"


def test_every_rule_calls_its_verb_as_the_verb_wants_to_be_called():
    import argparse
    import importlib

    for file, text in _rules():
        name = re.match(r"rule (\w+)", text)[1]
        command = text.split("shell:")[1]
        verb = re.search(r"caiman-pipeline ([a-z-]+)", command)[1]
        assert verb == name.replace("_", "-"), f"{file}: rule {name} calls {verb}"
        parser = argparse.ArgumentParser()
        importlib.import_module(f"caiman_pipeline.cli.{VERBS[verb][0]}").add_arguments(parser)
        given = set(re.findall(r"--[a-z-]+", command))
        flags = {flag: a for a in parser._actions for flag in a.option_strings}
        assert given <= set(flags), f"{file}, {name} gives {given - set(flags)}, which {verb} does not know"
        missing = {flag for flag, a in flags.items() if a.required} - given
        assert not missing, f"{file}, {name} does not give {missing}"
        assert {"--log", "--threads", "--settings"} <= given
        for kind, part in re.findall(r"\{(input|output|params)\.(\w+)", command):
            block = text.split(f"    {kind}:")[1].split("\n    ")[0:]
            assert any(f"{part}=" in line for line in block), f"{file}, {name}: no {kind}.{part}"


def _texts(*, tests):
    """Yield the package's and the workflow's files with their text, and the tests' if asked for; not the registry."""
    outside = [ROOT / "Snakefile", *(ROOT / "workflow").rglob("*.smk")]
    found = [*MODULES, *outside, *((ROOT / "tests").rglob("*.py") if tests else ())]
    for path in found:
        if path != PACKAGE / "stages.py":
            yield path, path.read_text()


def test_where_results_lie_is_written_in_the_registry_alone():
    """No path of a result, whole or of its folder and name put together."""
    folders = {Path(path).parts[0] for path in OUTPUTS.values()}
    names = {Path(path).name.replace("{recording}", "").replace("{item}", "") for path in OUTPUTS.values()}
    whole = re.compile(rf"\b(?:{'|'.join(sorted(folders))})/[\w{{}}-]*(?:{'|'.join(map(re.escape, names - {''}))})")
    joined = re.compile(rf"""["'](?:{"|".join(sorted(folders))})["'] / f?["']""")
    found = [
        f"{path.relative_to(ROOT)}: {m[0]}"
        for path, text in _texts(tests=False)
        for pattern in (whole, joined)
        for m in pattern.finditer(text)
    ]
    assert not found, "ask caiman_pipeline/stages.py"


# What scales in each stage, by its name: a test of planning holds the costs against the registry.
MAY_LIST_STAGES = {"caiman_pipeline/batch/costs.py", "tests/benchmarks/bench_plan.py"}


def _lists_of_names(tree):
    """Yield the texts of every list, tuple, set, and the keys of every mapping, that are written out in a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.List | ast.Tuple | ast.Set | ast.Dict):
            items = node.keys if isinstance(node, ast.Dict) else node.elts
            yield node, {i.value for i in items if isinstance(i, ast.Constant) and isinstance(i.value, str)}


def test_stages_are_listed_in_the_registry_alone():
    """Names that are those of results too (traces, motion) are lists of results; others mean stages."""
    names = set(STAGES) | {stage.verb for stage in STAGES.values()}
    sure = names - set(OUTPUTS)
    found = []
    for path, text in _texts(tests=True):
        if path.suffix == ".py" and path.relative_to(ROOT).as_posix() not in MAY_LIST_STAGES:
            lists = _lists_of_names(ast.parse(text))
            # Tests expect some of them here and there; all of them, or those from one on, they ask for.
            few = 4 if path.is_relative_to(ROOT / "tests") else 2
            found += [f"{_where(path, n)} {t & names}" for n, t in lists if len(t & names) > few and t & sure]
    assert not found, "ask caiman_pipeline/stages.py"


def test_snakefile_is_an_overview():
    assert len((ROOT / "Snakefile").read_text().splitlines()) < 60
    python = [
        p.name for p in (ROOT / "workflow/rules").glob("*.smk") if re.search(r"^def |^import ", p.read_text(), re.M)
    ]
    assert python == ["common.smk"]
