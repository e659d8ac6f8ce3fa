"""Cleans the bird strikes: trims the texts, drops exact repetitions, and adds the airport's code where its name is known.

usage: clean.py STRIKES.csv AIRPORTS.csv CLEAN.csv
"""

import csv
import re
import sys

ABBREVIATIONS = {"INTL": "INTERNATIONAL", "ARPT": "", "AIRPORT": "", "REGL": "REGIONAL", "MUNI": "MUNICIPAL"}


def spelling(name):
    """One spelling for the ways in which the two files write an airport's name."""
    words = re.sub(r"[^A-Z ]", " ", name.upper().replace("'", "")).split()
    return " ".join(filter(None, (ABBREVIATIONS.get(word, word) for word in words)))


def main(strikes_path, airports_path, clean_path):
    with open(airports_path, newline="", encoding="utf-8") as file:
        codes = {}
        for airport in csv.DictReader(file):
            # A name that several airports have says nothing about which it was.
            codes.setdefault(spelling(airport["name"]), []).append(airport["iata"])
    seen = set()
    with open(strikes_path, newline="", encoding="utf-8") as source, \
            open(clean_path, "w", newline="", encoding="utf-8") as target:
        strikes = csv.DictReader(source)
        clean = csv.writer(target, lineterminator="\n")
        clean.writerow(["iata", "airport", "state", "date", "species", "size", "damage", "cost_usd"])
        for strike in strikes:
            row = {key: value.strip() for key, value in strike.items()}
            if tuple(row.values()) in seen:
                continue
            seen.add(tuple(row.values()))
            candidates = codes.get(spelling(row["Airport Name"]), [])
            clean.writerow([
                candidates[0] if len(candidates) == 1 else "",
                row["Airport Name"],
                row["Origin State"],
                row["Flight Date"],
                row["Wildlife Species"],
                row["Wildlife Size"],
                row["Effect Amount of damage"],
                row["Cost Total $"].replace(",", ""),
            ])


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
