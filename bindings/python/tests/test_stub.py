"""The stub says what the compiled part has, and everything has a docstring."""

from __future__ import annotations

import ast
import inspect
import os
import pathlib
import subprocess
import sys
from typing import Any

import pytest

import slipring
from slipring import _slipring

HERE = pathlib.Path(__file__).resolve().parent
STUB = pathlib.Path(slipring.__file__).with_name("_slipring.pyi")
# What every object has, and what the type of an object in C has besides.
COMMON = set(dir(object)) | {"__module__", "__weakref__", "__weaklistoffset__", "__release_buffer__", "__reversed__", "__delitem__"}


def described() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for node in ast.parse(STUB.read_text()).body:
        if isinstance(node, ast.ClassDef):
            members = {item.name: item for item in node.body if isinstance(item, ast.FunctionDef)}
            found[node.name] = members
        elif isinstance(node, ast.FunctionDef):
            found[node.name] = node
    return found


def names(function: ast.FunctionDef) -> list[tuple[str, bool]]:
    """Its parameters, and which of them go by name only."""
    given = function.args
    plain = [argument.arg for argument in given.posonlyargs + given.args]
    named = [argument.arg for argument in given.kwonlyargs]
    return [(name, False) for name in plain if name not in ("self", "cls")] + [(name, True) for name in named]


def same(function: ast.FunctionDef, real: Any) -> None:
    try:
        parameters = inspect.signature(real).parameters.values()
    except ValueError:
        return
    if any(one.kind == one.VAR_KEYWORD for one in parameters):
        # Settings: the test of wrong arguments asks for their names.
        return
    found = [(one.name, one.kind == one.KEYWORD_ONLY) for one in parameters if one.name not in ("self", "cls")]
    assert found == names(function), (real, found, names(function))


def test_stub_and_module_are_the_same() -> None:
    stub = described()
    real = {name: thing for name, thing in vars(_slipring).items() if not name.startswith("__")}
    assert set(stub) == set(real)
    for name, thing in real.items():
        if not isinstance(thing, type):
            same(stub[name], thing)
            continue
        members = {member for member in vars(thing) if member not in COMMON or member in ("__eq__", "__hash__")}
        wanted = set(stub[name]) - set(dir(object)) | ({"__eq__", "__hash__"} & set(stub[name]))
        members -= {"__eq__", "__hash__", "__new__"} - wanted
        # What the interpreter shows of a buffer differs between its versions.
        assert members - {"__buffer__"} - COMMON == wanted - {"__buffer__"} - COMMON, name
        for member, function in stub[name].items():
            attribute = inspect.getattr_static(thing, member, None)
            if not member.startswith("__") and callable(getattr(thing, member)):
                same(function, getattr(thing, member))
            elif not member.startswith("__"):
                assert inspect.isgetsetdescriptor(attribute) or inspect.ismemberdescriptor(attribute), (name, member)


def test_everything_is_documented() -> None:
    for name in slipring.__all__:
        thing = getattr(slipring, name)
        assert thing.__doc__, name
        if isinstance(thing, type) and thing.__module__ == "slipring":
            for member, attribute in vars(thing).items():
                if not member.startswith("_"):
                    assert inspect.getdoc(attribute), f"{name}.{member}"


def test_settings_are_those_of_the_stub(home: Any) -> None:
    for name, members in described().items():
        if not isinstance(members, dict) or "create" not in members:
            continue
        with pytest.raises(TypeError) as wrong:
            getattr(slipring, name).create("x", nonsense=1)
        said = str(wrong.value).rsplit("are ", 1)[1].split(", ")
        assert sorted(said) == sorted(argument.arg for argument in members["create"].args.kwonlyargs), name


def test_types_hold() -> None:
    pytest.importorskip("mypy")
    paths = [str(HERE.parent / "python" / "slipring"), *map(str, sorted((HERE.parent / "examples").glob("*.py")))]
    environment = {**os.environ, "MYPYPATH": str(HERE.parent / "python")}
    done = subprocess.run([sys.executable, "-m", "mypy", "--strict", *paths], capture_output=True, text=True, cwd=HERE.parent, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
