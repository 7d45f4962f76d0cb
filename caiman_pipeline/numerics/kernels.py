"""Compiled kernels whose cache cannot be stale.

Numba keeps a kernel's machine code under the digest of the file that the kernel stands in. What the kernel calls is
compiled into it, but an edit of a callee in another file goes unnoticed, and any edit of its own file compiles all its
neighbours again. Here the key is what decides the machine code: the bytecode, constants and options of the kernel and
of all that it calls. Numba adds its version, the argument types and the processor.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from functools import cache, cached_property
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import numpy as np
from numba import njit, types
from numba.core import caching
from numba.core.registry import CPUDispatcher


def compiled(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Compile a function of numbers and arrays when it is first called; it runs without the interpreter's lock.

    Parameters
    ----------
    function : callable, optional
        The kernel; without it a decorator is returned that takes it.
    options : keyword arguments
        What ``numba.njit`` takes besides, like ``fastmath`` or ``forceinline``.

    Returns
    -------
    numba dispatcher
        The kernel, whose machine code is kept on disk under ``machine_code_key``.

    Examples
    --------
    >>> from caiman_pipeline.numerics.peaks import parabola_vertex     # a function that is decorated with it
    >>> parabola_vertex(0.0, 2.0, 1.0)                                 # machine code
    0.16666666666666666
    >>> parabola_vertex.py_func(0.0, 2.0, 1.0)                         # the same in Python
    0.16666666666666666
    """
    if function is None:
        return lambda f: compiled(f, **options)
    kernel = njit(nogil=True, **options)(function)
    kernel._cache = _KernelCache(kernel)
    return kernel


def machine_code_key(kernel: CPUDispatcher) -> str:
    """Return 32 hexadecimal digits that stand for all that a kernel's machine code is made from.

    Comments, docstrings and places in a file do not count; constants of the module and callees in other files do.

    Parameters
    ----------
    kernel : numba dispatcher
        A function that is decorated with ``compiled``.

    Returns
    -------
    str
        The key, which stays the same between processes.
    """
    digest = hashlib.blake2b(digest_size=16)
    for part in _ingredients(kernel, seen=set()):
        digest.update(part)
        digest.update(b"\0")
    return digest.hexdigest()


def _ingredients(kernel: CPUDispatcher, *, seen: set[int]) -> Iterator[bytes]:
    """Yield what a kernel is made from: its own code and options first, then those of its callees, each once."""
    if id(kernel) in seen:
        return
    seen.add(id(kernel))
    function = kernel.py_func
    yield function.__qualname__.encode()
    yield repr(sorted((name, _ordered(value)) for name, value in kernel.targetoptions.items())).encode()
    yield repr(function.__defaults__).encode()
    yield from _code_parts(function.__code__, docstring=function.__doc__)
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    known = {**function.__globals__, **{name: cell.cell_contents for name, cell in cells}}
    names = sorted(_names(function.__code__))
    for name in names:
        for value in _meant(known.get(name), names):
            if isinstance(value, CPUDispatcher):
                yield from _ingredients(value, seen=seen)
            elif isinstance(value, np.ndarray):
                yield f"{name}={value.dtype}{value.shape}".encode() + value.tobytes()
            elif not callable(value):
                yield f"{name}={value!r}".encode()


def _ordered(value: Any) -> Any:
    """Give a set an order, which otherwise changes with each process."""
    return sorted(value) if isinstance(value, set | frozenset) else value


def _meant(value: Any, names: list[str]) -> Iterator[Any]:
    """Yield what a global name brings into a kernel: itself; of one of our modules, what the kernel takes from it."""
    if not isinstance(value, ModuleType):
        yield from () if value is None else (value,)
    elif value.__name__.startswith(__package__.partition(".")[0]):
        yield from (getattr(value, name) for name in names if hasattr(value, name))


def _code_parts(code: CodeType, *, docstring: str | None) -> Iterator[bytes]:
    """Yield bytecode, names and constants, also of functions within; not the lines that they stand on."""
    yield code.co_code
    yield repr((code.co_names, code.co_varnames, code.co_freevars, code.co_argcount)).encode()
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _code_parts(constant, docstring=None)
        elif constant is None or constant != docstring:
            yield repr(_ordered(constant)).encode()


def _names(code: CodeType) -> set[str]:
    inner = (c for c in code.co_consts if isinstance(c, CodeType))
    return {*code.co_names, *code.co_freevars}.union(*map(_names, inner))


class _KernelCache(caching.FunctionCache):
    """Numba's cache on disk with our key, looked up when a kernel is first called: all that it calls is known then."""

    def __init__(self, kernel: CPUDispatcher) -> None:
        self._kernel = kernel
        self._name = repr(kernel.py_func)
        self._py_func = kernel.py_func
        self.enable()

    @cached_property
    def _impl(self) -> _KernelCacheImpl:
        return _KernelCacheImpl(self._py_func)

    @property
    def _cache_path(self) -> str:
        return str(self._impl.locator.get_cache_path())

    @cached_property
    def _cache_file(self) -> caching.IndexDataCacheFile:
        return self._index_in(self._cache_path)

    @cached_property
    def _beside_module(self) -> caching.IndexDataCacheFile:
        """What the owner of an installation has compiled, for users who cannot write there."""
        return self._index_in(str(Path(self._py_func.__code__.co_filename).parent / "__pycache__"))

    def _index_in(self, folder: str) -> caching.IndexDataCacheFile:
        return caching.IndexDataCacheFile(folder, self._impl.filename_base, machine_code_key(self._kernel))

    def _load_overload(self, sig: Any, target_context: Any) -> Any:
        key = self._index_key(sig, target_context.codegen())
        for index in (self._cache_file, self._beside_module):
            data = index.load(key)
            if data is not None:
                return self._impl.rebuild(target_context, data)
        return None

    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        """Add the order of the fields of records: numba knows a named tuple by its types and name alone."""
        fields = [kind.fields for kind in sig if isinstance(kind, types.BaseNamedTuple)]
        return (*super()._index_key(sig, codegen), tuple(fields))

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a compiled kernel; where that cannot be done, the next process compiles it again."""
        if isinstance(self._impl.locator, _Nowhere):
            return _say_once("no folder for them can be written")
        try:
            super().save_overload(sig, data)
        except OSError as error:  # a disk or quota that is full: the numbers do not depend on it
            _say_once(f"{self._cache_path}: {error.strerror}")
        return None


@cache
def _say_once(why: str) -> None:
    advice = "Set NUMBA_CACHE_DIR to a folder of your own."
    logging.getLogger("caiman_pipeline").warning("compiled kernels cannot be kept (%s). %s", why, advice)


class _AnyLine:
    """A kernel keeps its files wherever in its module it stands; each folder is tried once a process."""

    def get_disambiguator(self) -> str:
        return "kernel"

    def ensure_cache_path(self) -> None:
        if not _can_be_written(self.get_cache_path()):  # type: ignore[attr-defined]
            raise OSError("not writable")


@cache
def _can_be_written(folder: str) -> bool:
    locator = caching.InTreeCacheLocator.__new__(caching.InTreeCacheLocator)
    locator._cache_path = folder
    try:
        locator.ensure_cache_path()
    except OSError:
        return False
    return True


class _UserProvided(_AnyLine, caching.UserProvidedCacheLocator): ...


class _InTree(_AnyLine, caching.InTreeCacheLocator): ...


class _UserWide(_AnyLine, caching.UserWideCacheLocator): ...


class _Nowhere(_AnyLine, caching.InTreeCacheLocator):
    """Where nothing can be written: what lies beside the module can still be read."""

    def ensure_cache_path(self) -> None: ...


class _KernelCacheImpl(caching.CompileResultCacheImpl):
    _locator_classes = (_UserProvided, _InTree, _UserWide, _Nowhere)
