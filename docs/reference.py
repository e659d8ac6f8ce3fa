"""Writes python-reference.md next to this file from the docstrings of the Python package. `cargo xtask reference` runs it.

usage: reference.py [--check]

With --check it writes nothing and fails if the page is out of date. It parses the sources without importing them.
"""

from __future__ import annotations

import ast
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
PACKAGE = HERE.parent / "crates/python/python/pudato"
PAGE = HERE / "python-reference.md"

HEAD = """# Reference of the Python package

`cargo xtask reference` writes this page from the docstrings; do not edit it. [python.md](python.md) explains when to use what.
"""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def is_public(name: str) -> bool:
    return not name.startswith("_")


def modules() -> list[tuple[str, pathlib.Path]]:
    """The public modules with their files, each package before its modules."""
    found = []
    for path in PACKAGE.rglob("*.py"):
        parts = ["pudato", *path.relative_to(PACKAGE).with_suffix("").parts]
        if parts[-1] == "__init__":
            parts.pop()
        if all(map(is_public, parts)):
            found.append((".".join(parts), path))
    return sorted(found)


def exported(tree: ast.Module) -> list[str] | None:
    """The names in `__all__`, if it is a plain list of strings."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(to, ast.Name) and to.id == "__all__" for to in node.targets):
            if isinstance(node.value, ast.List) and all(isinstance(one, ast.Constant) for one in node.value.elts):
                return [ast.literal_eval(one) for one in node.value.elts]
    return None


def origins(tree: ast.Module) -> dict[str, str]:
    """The module that each imported name comes from."""
    found = {}
    nodes = list(tree.body)
    for node in nodes:
        if isinstance(node, ast.If):
            nodes.extend(node.body)
        if isinstance(node, ast.ImportFrom) and node.module:
            found.update({alias.asname or alias.name: node.module for alias in node.names})
    return found


def file_of(module: str) -> pathlib.Path | None:
    """The source of a module: its Python file, or the stub of the extension module."""
    base = PACKAGE.joinpath(*module.split(".")[1:])
    for path in (base.with_suffix(".py"), base / "__init__.py", base.with_suffix(".pyi")):
        if module.startswith("pudato") and path.is_file():
            return path
    return None


def definition(module: str, name: str) -> ast.stmt | None:
    """Where a name is defined, wherever it was imported from."""
    path = file_of(module)
    if path is None:
        return None
    tree = ast.parse(path.read_text())
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            return node
    origin = origins(tree).get(name)
    return definition(origin, name) if origin is not None and origin != module else None


def signature(node: Function, name: str, is_method: bool) -> str:
    arguments = ast.unparse(node.args)
    if is_method:
        arguments = re.sub(r"^(self|cls)(, /)?(, )?", "", arguments)
    returns = f" -> {ast.unparse(node.returns)}" if node.returns is not None and name != "" else ""
    word = "async " if isinstance(node, ast.AsyncFunctionDef) else ""
    return f"{word}{name}({arguments}){returns}"


def text(docstring: str | None) -> list[str]:
    """Converts a docstring to Markdown. Its sections become lists."""
    if not docstring:
        return []
    lines: list[str] = []
    section = None
    for line in docstring.splitlines():
        title = re.fullmatch(r"(Args|Attributes|Returns|Yields|Raises|Example|Examples):", line)
        if title:
            section = title.group(1)
            lines += [f"{section}:", ""]
        elif section in ("Args", "Attributes", "Raises") and (entry := re.match(r"    (\*{0,2}\w[\w., ]*)(?: \(.*?\))?: (.*)", line)):
            lines.append(f"- `{entry.group(1)}`: {entry.group(2)}")
        elif section in ("Args", "Attributes", "Raises") and line.startswith("        "):
            lines.append("  " + line.strip())
        elif section in ("Returns", "Yields") and line.startswith("    "):
            lines.append(line.strip())
        else:
            if line and not line.startswith(" "):
                section = None
            lines.append(line)
    return [*lines, ""]


def decorators(node: Function) -> set[str]:
    return {ast.unparse(one).rpartition(".")[2] for one in node.decorator_list}


def members(node: ast.ClassDef, name: str) -> list[str]:
    lines: list[str] = []
    fields = [
        one
        for one in node.body
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name) and is_public(one.target.id)
    ]
    fields = [one for one in fields if "ClassVar" not in ast.unparse(one.annotation)]
    if fields:
        shown = [ast.unparse(one) for one in fields]
        lines += ["```python", *shown, "```", ""]
    seen = set()
    for one in node.body:
        if not isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) or not is_public(one.name):
            continue
        of = decorators(one)
        if "overload" in of or "setter" in of or one.name in seen:
            continue
        seen.add(one.name)
        called = one.name if of & {"property", "cached_property"} else signature(one, one.name, "staticmethod" not in of)
        kind = "class method" if "classmethod" in of else "property" if "property" in of else "method"
        lines += [f"#### `{name}.{one.name}`", "", "```python", called, "```", ""]
        documented = text(ast.get_docstring(one))
        lines += documented or [f"A {kind} of `{name}`.", ""]
    return lines


def entry(module: str, name: str) -> list[str]:
    node = definition(module, name)
    lines = [f"### `{module}.{name}`", ""]
    if isinstance(node, ast.ClassDef):
        bases = [ast.unparse(base) for base in node.bases if is_public(ast.unparse(base))]
        init = next((one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"), None)
        shown = signature(init, name, True).removesuffix(" -> None") if init else f"{name}({', '.join(bases)})" if bases else name
        lines += ["```python", f"class {shown}", "```", "", *text(ast.get_docstring(node))]
        lines += members(node, name)
    elif node is not None:
        assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        lines += ["```python", signature(node, name, False), "```", "", *text(ast.get_docstring(node))]
    return lines


def page() -> str:
    lines = [HEAD]
    for module, path in modules():
        tree = ast.parse(path.read_text())
        names = exported(tree)
        if names is None:
            own = [one for one in tree.body if isinstance(one, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)]
            names = [one.name for one in own if is_public(one.name)]
        # Describe names that a package re-exports only once, in their own module.
        here = []
        for name in sorted(filter(is_public, names)):
            origin = origins(tree).get(name)
            is_told = origin is not None and all(map(is_public, origin.split("."))) and origin.startswith("pudato")
            if not is_told and definition(module, name) is not None:
                here.append(name)
        section = [line for name in here for line in entry(module, name)]
        described = text(ast.get_docstring(tree))
        if section or (described and module.count(".") <= 1):
            lines += [f"## `{module}`", "", *described, *section]
    return "\n".join(lines).rstrip() + "\n"


def main() -> int:
    written = page()
    if sys.argv[1:] == ["--check"]:
        is_fresh = PAGE.is_file() and PAGE.read_text() == written
        if not is_fresh:
            print(f"{PAGE.name} is out of date; run cargo xtask reference", file=sys.stderr)
        return 0 if is_fresh else 1
    if sys.argv[1:]:
        print(__doc__, file=sys.stderr)
        return 2
    PAGE.write_text(written)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
