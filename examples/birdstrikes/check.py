"""Checks what `cargo xtask demo` left behind, with nothing of pudato: it counts everything again from the two files.

usage: check.py DEMO_FOLDER
"""

import collections
import csv
import hashlib
import json
import pathlib
import re
import sqlite3
import sys
import xml.etree.ElementTree

DATA = pathlib.Path(__file__).parent / "data"
ABBREVIATIONS = {"INTL": "INTERNATIONAL", "ARPT": "", "AIRPORT": "", "REGL": "REGIONAL", "MUNI": "MUNICIPAL"}


def check(holds, what):
    if not holds:
        sys.exit(f"check: FAILED: {what}")
    print(f"check: {what}")


def read(name):
    with open(DATA / name, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def spelling(name):
    words = re.sub(r"[^A-Z]+", " ", name.upper().replace("'", "")).split()
    return " ".join(filter(None, (ABBREVIATIONS.get(word, word) for word in words)))


def recomputed():
    """The mart and what did not join, from the files."""
    strikes = {tuple(cell.strip() for cell in row.values()) for row in read("birdstrikes.csv")}
    names = list(read("birdstrikes.csv")[0])
    strikes = [dict(zip(names, strike)) for strike in strikes]
    codes = collections.defaultdict(list)
    for airport in read("airports.csv"):
        codes[spelling(airport["name"])].append(airport["iata"])
    mart = collections.defaultdict(lambda: [0, 0, 0, 0])
    unmatched = collections.Counter()
    for strike in strikes:
        sums = mart[strike["Origin State"] or None, int(strike["Flight Date"][:4])]
        located = len(codes.get(spelling(strike["Airport Name"]), [])) == 1
        sums[0] += 1
        sums[1] += strike["Effect Amount of damage"] != "None"
        sums[2] += int(strike["Cost Total $"].replace(",", ""))
        sums[3] += located
        if not located:
            unmatched[strike["Airport Name"], strike["Origin State"] or None] += 1
    return len(strikes), {key: tuple(sums) for key, sums in mart.items()}, dict(unmatched)


def costliest(mart, count):
    """The lines of the answer that `pudato run` printed, as lists of cells."""
    states = collections.defaultdict(lambda: [0, 0, 0, 9999, 0])
    for (state, year), (strikes, damaged, cost, _) in mart.items():
        sums = states[state]
        sums[0] += strikes
        sums[1] += damaged
        sums[2] += cost
        sums[3:] = [min(sums[3], year), max(sums[4], year)]
    ranked = sorted(states.items(), key=lambda item: (-item[1][2], item[0]))
    return [[state, *map(str, sums)] for state, sums in ranked[:count]]


def answer(demo, name):
    return json.loads((demo / name).read_text())["rows"]


def main(demo):
    demo = pathlib.Path(demo)
    lake = (demo / "pudato" / "objects" / "data-lake").resolve()
    for name in ("birdstrikes.csv", "airports.csv"):
        check((lake / "raw" / name).read_bytes() == (DATA / name).read_bytes(), f"raw/{name} has the bytes of the source")

    count, mart, unmatched = recomputed()
    found = {(state, year): tuple(sums) for state, year, *sums in answer(demo, "mart.json")}
    check(found == mart, f"the mart has the {len(mart)} sums by state and year that the files have")
    check(len(answer(demo, "mart.json")) == len(mart), "and no other rows")
    found = {(airport, state): strikes for airport, state, strikes in answer(demo, "unmatched.json")}
    check(found == unmatched, f"the {len(unmatched)} airports that did not join are kept, with their strikes")
    exported = sorted(map(json.dumps, answer(demo, "export.json")))
    check(exported == sorted(map(json.dumps, answer(demo, "mart.json"))), "the Parquet file, read back, is the mart")

    printed = (demo / "run.txt").read_text().splitlines()
    printed = printed[printed.index("costliest_states") + 3:]
    cells = [re.split(r"\s{2,}", line) for line in printed if line]
    check(cells == costliest(mart, 10), "the table that was printed is the answer")

    claims = list((demo / "pudato" / "objects" / "pudato-claims" / "claims").glob("*/*"))
    check(claims, f"{len(claims)} messages over the limit travelled as claims")
    for claim in claims:
        digest = hashlib.sha256(claim.read_bytes()).hexdigest()
        check(claim.name.endswith(digest), f"claim {claim.name[:8]} is whole")

    job = json.loads((demo / "job.json").read_text())
    check(job["job"]["status"] == "success", "the job ended in success")
    check([step["status"] for step in job["steps"]] == ["success"] * 7, "so did its seven steps")
    records = [record for step in job["steps"] for record in step["executions"] if record["execution_type"] == "sql"]
    check({record["details"]["lineage"] for record in records} == {"complete"}, f"{len(records)} statements, complete lineage")

    graph = json.loads((demo / "lineage.json").read_text())
    names = {node["id"]: node.get("location", node.get("step_name")) for node in graph["nodes"]}
    warehouse = (demo / "pudato" / "warehouse.duckdb").resolve()

    def file(name):
        return f"file://{lake / name}"

    def table(name):
        return f"duckdb://{warehouse}#warehouse.{name}"

    airports, rows = len(read("airports.csv")), len(read("birdstrikes.csv"))
    seed = f"file://{(DATA.parent / 'dbt/seeds/damage_levels.csv').resolve()}"
    expected = {
        ("ingest_strikes", file("raw/birdstrikes.csv"), rows),
        ("ingest_airports", file("raw/airports.csv"), airports),
        (file("raw/birdstrikes.csv"), "stage_strikes", rows),
        (file("raw/airports.csv"), "stage_airports", airports),
        ("stage_strikes", table("staging.strikes"), count),
        ("stage_airports", table("staging.airports"), airports),
        # dbt, node by node: what each was made from, and nothing else.
        (seed, "build", None),
        ("build", table("reference.damage_levels"), 6),
        (table("staging.airports"), "build", None),
        ("build", table("staging.known_airports"), None),
        (table("staging.known_airports"), "build", None),
        (table("reference.damage_levels"), "build", 6),
        (table("staging.strikes"), "build", None),
        ("build", table("mart.strikes"), count),
        (table("mart.strikes"), "build", count),
        ("build", table("mart.strikes_by_state_year"), len(mart)),
        (table("mart.strikes_by_state_year"), "export", len(mart)),
        ("export", file("exports/strikes_by_state_year.parquet"), len(mart)),
    }
    found = {(names[edge["from"]], names[edge["to"]], edge["row_count"]) for edge in graph["edges"]}
    check(found == expected, f"the lineage has exactly the {len(expected)} edges there are, with their rows")

    build = next(step for step in job["steps"] if step["step_name"] == "build")
    tests = [record["details"] for record in build["executions"] if record["details"].get("resource_type") == "test"]
    check(len(tests) == 6 and {test["status"] for test in tests} == {"pass"}, f"dbt's {len(tests)} tests passed")
    check(all(test["tests"] for test in tests), "and each says which datasets it is about")

    registry = sqlite3.connect(f"file:{demo / 'pudato' / 'registry.db'}?mode=ro", uri=True)
    for identity, body in registry.execute("SELECT identity, body FROM result"):
        if hashlib.sha256(body.encode()).hexdigest() != identity:
            check(False, f"result {identity[:8]} is the one that was published")
    check(True, "every Result in the registry is the one that was published")
    fabric = sqlite3.connect(f"file:{demo / 'pudato' / 'fabric.db'}?mode=ro", uri=True)
    check(fabric.execute("SELECT COUNT(*) FROM message").fetchone() == (0,), "no message is left on any queue")

    picture = xml.etree.ElementTree.parse(demo / "lineage.svg").getroot()
    boxes = picture.findall("{http://www.w3.org/2000/svg}g")
    check(len(boxes) == len(graph["nodes"]), f"the picture shows all {len(boxes)} nodes")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
