"""Checks what `cargo xtask demo` left behind, with nothing of pudato: only the files, `csv`, `json` and `sqlite3`.

usage: check.py DEMO_FOLDER
"""

import csv
import hashlib
import json
import pathlib
import sqlite3
import sys
import xml.etree.ElementTree

DATA = pathlib.Path(__file__).parent / "data"


def check(holds, what):
    if not holds:
        sys.exit(f"check: FAILED: {what}")
    print(f"check: {what}")


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return sum(1 for _ in csv.reader(file)) - 1


def main(demo):
    demo = pathlib.Path(demo)
    lake = demo / "pudato" / "objects" / "data-lake"
    for name in ("birdstrikes.csv", "airports.csv"):
        same = (lake / "raw" / name).read_bytes() == (DATA / name).read_bytes()
        check(same, f"raw/{name} has the bytes of the source")

    with open(DATA / "birdstrikes.csv", newline="", encoding="utf-8") as file:
        strikes = {tuple(cell.strip() for cell in row) for row in csv.reader(file)} - {()}
    clean = lake / "clean" / "strikes.csv"
    check(rows(clean) == len(strikes) - 1, f"clean/strikes.csv has {rows(clean):,} rows: each different strike once")

    claims = list((demo / "pudato" / "objects" / "pudato-claims" / "claims").glob("*/*"))
    check(claims, f"{len(claims)} messages over the limit travelled as claims")
    for claim in claims:
        digest = hashlib.sha256(claim.read_bytes()).hexdigest()
        check(claim.name.endswith(digest), f"claim {claim.name[:8]} is whole")

    job = json.loads((demo / "job.json").read_text())
    check(job["job"]["status"] == "success", "the job ended in success")
    check([step["status"] for step in job["steps"]] == ["success"] * 3, "so did its three steps")

    graph = json.loads((demo / "lineage.json").read_text())
    names = {node["id"]: node.get("location", node.get("step_name")) for node in graph["nodes"]}
    location = {name: f"file://{(lake / name).resolve()}" for name in
                ("raw/birdstrikes.csv", "raw/airports.csv", "clean/strikes.csv")}
    expected = {
        ("ingest_strikes", location["raw/birdstrikes.csv"], rows(DATA / "birdstrikes.csv")),
        ("ingest_airports", location["raw/airports.csv"], rows(DATA / "airports.csv")),
        (location["raw/birdstrikes.csv"], "clean", rows(DATA / "birdstrikes.csv")),
        (location["raw/airports.csv"], "clean", rows(DATA / "airports.csv")),
        ("clean", location["clean/strikes.csv"], len(strikes) - 1),
    }
    found = {(names[edge["from"]], names[edge["to"]], edge["row_count"]) for edge in graph["edges"]}
    check(found == expected, "the lineage has exactly the five edges there are, with their rows")

    registry = sqlite3.connect(f"file:{demo / 'pudato' / 'registry.db'}?mode=ro", uri=True)
    for identity, body in registry.execute("SELECT identity, body FROM result"):
        check(hashlib.sha256(body.encode()).hexdigest() == identity, f"result {identity[:8]} is the one that was published")
    fabric = sqlite3.connect(f"file:{demo / 'pudato' / 'fabric.db'}?mode=ro", uri=True)
    check(fabric.execute("SELECT COUNT(*) FROM message").fetchone() == (0,), "no message is left on any queue")

    picture = xml.etree.ElementTree.parse(demo / "lineage.svg").getroot()
    boxes = picture.findall("{http://www.w3.org/2000/svg}g")
    check(len(boxes) == len(graph["nodes"]), f"the picture shows all {len(boxes)} nodes")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
