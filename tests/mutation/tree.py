"""A copy of the repository whose package holds every mutant beside its function, made with mutmut's operators.

Not mutated are decorated functions (mutmut leaves them out), constants of modules, and sentences for people. A
function that runs while its module is imported has run before its mutant comes to life, except in programs that a
test starts.
"""

from __future__ import annotations

import ast
import codecs
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import attrs

__all__ = ["Mutant", "build"]

_COPIED = ("autopilot", "docs", "tests", "pyproject.toml")
_IMPORT = "from mutmut.mutation.trampoline import wrap_in_trampoline as _mutmut_mutated, MutantDict"
_OURS = "from mutation_switch import wrap as _mutmut_mutated, MutantDict"
_MARK = "__mutmut_"
_SENTENCE = re.compile(r"[a-z`,)] [a-z`(]")


@attrs.frozen
class Mutant:
    """One change of one function.

    Attributes:
        name: ``module.mangled name``, as the switch knows it.
        function: the dotted name of the function that is changed.
        change: its lines before and after, in ``ast.unparse``'s layout.
        version: a hash of the whole changed function.
    """

    name: str
    function: str
    change: str
    version: str

    @property
    def reach(self) -> str:
        """The name under which hits of its function are recorded."""
        return self.name.rpartition(_MARK)[0] + _MARK.rstrip("_")

    @property
    def file(self) -> str:
        """The module's path below the repository."""
        return self.name.rpartition(".")[0].replace(".", "/") + ".py"


def build(repository: Path, tree: Path, mutate: list[str], part: str = "") -> list[Mutant]:
    """Make the tree anew; the mutants of all files below ``autopilot`` that match one of the patterns, and whose
    path contains ``part``."""
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    for name in _COPIED:
        copy = shutil.copytree if (repository / name).is_dir() else shutil.copy
        copy(repository / name, tree / name)
    shutil.copy(repository / "tests/mutation/switch.py", tree / "mutation_switch.py")
    (tree / "setup.cfg").write_text("[mutmut]\nsource_paths=autopilot\n")
    files = sorted(path.relative_to(tree).as_posix() for path in (tree / "autopilot").rglob("*.py"))
    chosen = [file for file in files if part in file and any(fnmatch(file, pattern) for pattern in mutate)]
    os.chdir(tree)  # mutmut reads its settings there
    return [mutant for file in chosen for mutant in _mutate(tree, file)]


def _mutate(tree: Path, file: str) -> list[Mutant]:
    from mutmut.mutation.file_mutation import mutate_file_contents

    path = tree / file
    source = path.read_bytes()
    # Kept for the next time, since making them takes longer than trying some.
    kept = tree.parent / "made" / f"{hashlib.sha256(file.encode() + source).hexdigest()}.json"
    if not kept.exists():
        code = mutate_file_contents(file, source.decode()).code
        mutants = _mutants(file.removesuffix(".py").replace("/", "."), ast.parse(code))
        kept.parent.mkdir(exist_ok=True)
        made = {"code": code.replace(_IMPORT, _OURS), "mutants": [attrs.astuple(mutant) for mutant in mutants]}
        kept.write_text(json.dumps(made), encoding="utf-8")
    made = json.loads(kept.read_text(encoding="utf-8"))
    path.write_text(made["code"], encoding="utf-8")
    return [Mutant(*mutant) for mutant in made["mutants"]]


def _mutants(module: str, parsed: ast.Module) -> Iterator[Mutant]:
    functions = {node.name: node for node in ast.walk(parsed) if isinstance(node, ast.FunctionDef)}
    for name, node in functions.items():
        stem, mark, number = name.rpartition(_MARK)
        if not mark or number == "orig":
            continue
        original = functions[f"{stem}{mark}orig"]
        if _is_wording(original, node):
            continue
        yield Mutant(
            name=f"{module}.{name}",
            function=f"{module}.{_readable(stem)}",
            change=_change(original, node),
            version=hashlib.sha256(ast.dump(node).encode()).hexdigest()[:16],
        )


def _readable(stem: str) -> str:
    """``Class.method`` of ``xǁClassǁmethod``, ``function`` of ``x_function``."""
    return ".".join(stem.split("ǁ")[1:]) or stem.removeprefix("x_")


def _is_wording(original: ast.FunctionDef, mutated: ast.FunctionDef) -> bool:
    """Whether only a sentence for people is different, or the same codec has another spelling."""
    before, after = list(ast.walk(original)), list(ast.walk(mutated))
    if len(before) != len(after):
        return False
    pairs = [
        (old.value, new.value)
        for old, new in zip(before, after, strict=True)
        if isinstance(old, ast.Constant) and isinstance(new, ast.Constant) and old.value != new.value
    ]
    return bool(pairs) and all(
        isinstance(old, str)
        and isinstance(new, str)
        and (_SENTENCE.search(old) is not None or _same_codec(old, new))
        for old, new in pairs
    )


def _same_codec(old: str, new: str) -> bool:
    try:
        return codecs.lookup(old).name == codecs.lookup(new).name
    except (LookupError, ValueError):
        return False


def _change(original: ast.FunctionDef, mutated: ast.FunctionDef) -> str:
    old, new = _lines(original), _lines(mutated)
    while old and new and old[0] == new[0]:
        del old[0], new[0]
    while old and new and old[-1] == new[-1]:
        del old[-1], new[-1]
    return f"{' '.join(old)} => {' '.join(new)}"


def _lines(node: ast.FunctionDef) -> list[str]:
    node.name = node.name.rpartition(_MARK)[0] or node.name
    return [line.strip() for line in ast.unparse(node).splitlines()]
