"""Writes third-party.txt next to this file: the licences of the Rust crates that are linked into the extension module.

`cargo xtask wheel` runs it. It asks cargo which crates are linked and copies each distinct licence text from their packages.
"""

from __future__ import annotations

import collections
import json
import pathlib
import subprocess

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[2]
NAMES = ("LICENSE", "LICENCE", "COPYING", "NOTICE", "COPYRIGHT", "UNLICENSE")


def linked(metadata: dict, package: str) -> set[str]:
    """The packages that `package` is linked with, by their ids."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    (start,) = (one["id"] for one in metadata["packages"] if one["name"] == package)
    found, waiting = set(), [start]
    while waiting:
        one = waiting.pop()
        if one in found:
            continue
        found.add(one)
        for dependency in nodes[one]["deps"]:
            # `None` is an ordinary dependency; those of tests and of build scripts are in no program.
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
                waiting.append(dependency["pkg"])
    return found


def main() -> None:
    about = subprocess.run(["rustc", "-vV"], check=True, capture_output=True, text=True).stdout
    host = next(line.removeprefix("host: ") for line in about.splitlines() if line.startswith("host: "))
    asks = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", host]
    metadata = json.loads(subprocess.run(asks, cwd=ROOT, check=True, capture_output=True).stdout)
    wanted = linked(metadata, "pudato-python")
    texts = collections.defaultdict(list)
    without = []
    for package in sorted(metadata["packages"], key=lambda one: (one["name"], one["version"])):
        if package["id"] not in wanted or package["source"] is None:
            continue
        called = f"{package['name']} {package['version']} ({package['license'] or 'see its package'})"
        folder = pathlib.Path(package["manifest_path"]).parent
        files = sorted(one for one in folder.iterdir() if one.is_file() and one.name.upper().startswith(NAMES))
        for file in files:
            texts[file.read_text(errors="replace").strip()].append(called)
        if not files:
            without.append(called)
    with open(HERE / "third-party.txt", "w") as out:
        out.write("The Rust crates in pudato's extension module, and their licences.\n")
        for text, packages in sorted(texts.items(), key=lambda item: item[1]):
            out.write("\n" + "=" * 80 + "\n" + "\n".join(packages) + "\n" + "-" * 80 + "\n" + text + "\n")
        if without:
            out.write("\n" + "=" * 80 + "\nPackages without a licence text; their licences are named here:\n")
            out.write("\n".join(without) + "\n")


if __name__ == "__main__":
    main()
