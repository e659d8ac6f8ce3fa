"""Reads what pudato wrote with DuckDB, pandas, pyarrow and polars, and says where one of them finds other values.

usage: others.py FOLDER

All values are compared as the texts that DuckDB writes of them. The folder has manifest.json: for each file its format, the
SQL that made it and the types of its columns. What is right is what Python's own DuckDB answers to that SQL. What a reader
cannot hold, as docs/sql.md says, is left out and counted.
"""

import gzip
import io
import json
import pathlib
import sys

import duckdb
import pandas
import polars
import pyarrow
import pyarrow.csv
import pyarrow.parquet

folder = pathlib.Path(sys.argv[1])
database = duckdb.connect()
database.execute("SET TimeZone = 'UTC'")
problems = []
checked = {}
left_out = {}


def unpacked(entry):
    path = folder / entry["file"]
    if entry["packed"] == ".gz":
        return gzip.decompress(path.read_bytes())
    if entry["packed"] == ".zst":
        # Arrow reads zstd in a stream; its one-shot function wants to know the length.
        with pyarrow.input_stream(str(path), compression="zstd") as stream:
            return stream.read()
    return path.read_bytes()


def restore(entry, sql_source):
    """Rows of the entry, got back from texts or JSON as docs/sql.md says."""
    query = entry["restore"].replace("FROM s", f"FROM {sql_source}")
    return database.execute(f"SELECT COLUMNS(*)::VARCHAR FROM ({query})").fetchall()


def texts(entry):
    """Each reader's table of texts."""
    delimiter = "," if entry["format"] == "csv" else "\t"
    names = [f"c{n}" for n in range(len(entry["types"]))]
    path = str(folder / entry["file"])
    columns = "{" + ", ".join(f"'{name}': 'VARCHAR'" for name in names) + "}"
    yield "duckdb", f"read_csv('{path}', delim = '{delimiter}', header = true, quote = '\"', escape = '\"', columns = {columns}, auto_detect = false, allow_quoted_nulls = false)"
    data = unpacked(entry)
    frame = pandas.read_csv(io.BytesIO(data), sep=delimiter, dtype="str", keep_default_na=False, na_values=[""])
    yield "pandas", pyarrow.Table.from_pandas(frame.astype("str").where(frame.notna(), None), preserve_index=False, schema=pyarrow.schema([(name, pyarrow.string()) for name in names]))
    yield "pyarrow", pyarrow.csv.read_csv(
        pyarrow.BufferReader(data),
        parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types={name: pyarrow.string() for name in names},
            strings_can_be_null=True, quoted_strings_can_be_null=False, null_values=[""],
        ),
    )
    yield "polars", polars.read_csv(data, separator=delimiter, infer_schema=False).to_arrow()


def leave_out(why):
    left_out[why] = left_out.get(why, 0) + 1


def is_mixed(rows):
    """Whether a column has objects beside plain values: a tagged NaN among numbers."""
    columns = zip(*(row.values() for row in rows))
    return any(len({isinstance(value, dict) for value in column if value is not None}) > 1 for column in columns)


def has_rounded_column(rows):
    """Whether a column has a whole number that a DOUBLE rounds, and a null: pandas makes DOUBLEs of such a column."""
    columns = zip(*(row.values() for row in rows))
    return any(None in column and any(isinstance(value, int) and abs(value) > 1 << 53 for value in column) for column in columns)


def objects(entry):
    """Each reader's rows, as JSON again."""
    data = unpacked(entry)
    is_lines = entry["format"] == "jsonl"
    rows = [json.loads(line) for line in data.splitlines()] if is_lines else json.loads(data)
    yield "json", rows
    if has_rounded_column(rows):
        leave_out("pandas rounds whole numbers beside a null")
    else:
        try:
            frame = pandas.read_json(io.BytesIO(data), lines=is_lines, dtype=False, precise_float=True)
            yield "pandas", frame.astype("object").where(frame.notna(), None).to_dict("records")
        except ValueError as error:
            # Its parser has no whole numbers beyond 64 bits, and no DOUBLEs so small that they have fewer digits.
            if "Value is too big" not in str(error) and "Range error" not in str(error):
                raise
            leave_out("pandas refuses a number")
    if is_mixed(rows):
        leave_out("polars reads no numbers among objects")
    else:
        frame = polars.read_ndjson(data) if is_lines else polars.read_json(data)
        yield "polars", frame.rows(named=True)
    path = folder / entry["file"]
    kinds = "{" + ", ".join(f"c{n}: 'JSON'" for n in range(len(entry["types"]))) + "}"
    yield "duckdb", f"read_json('{path}', columns = {kinds})"


def expected(entry):
    rows = database.execute(f"SELECT COLUMNS(*)::VARCHAR FROM ({entry['sql']})").fetchall()
    # A duration is a text, whose form is pudato's own.
    is_text = [kind == "INTERVAL" for kind in entry["types"]]
    return [tuple(told if text else value for told, value, text in zip(answer, row, is_text)) for answer, row in zip(entry["answer"], rows)]


def check(entry, reader, source, right):
    checked[(reader, entry["format"])] = checked.get((reader, entry["format"]), 0) + 1
    told = f"{reader}, {entry['file']} ({entry['types']})"
    try:
        found = restore(entry, source)
    except Exception as error:
        problems.append(f"{told}: {error}: {entry['sql']}")
        return
    if reader == "pandas" and entry["format"] in ("csv", "tsv"):
        # It takes an empty text for a missing one, whether or not it is quoted.
        found, right = empty_is_null(found), empty_is_null(right)
    if found != right:
        problems.append(f"{told}: {found} is not {right}: {entry['sql']}")


def empty_is_null(rows):
    return [tuple(None if value == "" else value for value in row) for row in rows]


def parquet(entry):
    path = str(folder / entry["file"])
    yield "duckdb", database.execute(f"SELECT * FROM read_parquet('{path}')").to_arrow_table()
    yield "pyarrow", pyarrow.parquet.read_table(path)
    yield "pandas", pyarrow.Table.from_pandas(pandas.read_parquet(path, dtype_backend="pyarrow"), preserve_index=False)
    yield "polars", polars.read_parquet(path).to_arrow()


for entry in json.loads((folder / "manifest.json").read_text()):
    right = expected(entry)
    if entry["format"] in ("csv", "tsv"):
        for reader, table in texts(entry):
            if isinstance(table, str):
                source = table
            else:
                database.register("read", table)
                source = "read"
            check(entry, reader, source, right)
    elif entry["format"] == "parquet":
        for reader, table in parquet(entry):
            database.register("read", table)
            check(entry, reader, "read", right)
    else:
        for reader, rows in objects(entry):
            source = rows
            if not isinstance(rows, str):
                names = [f"c{n}" for n in range(len(entry["types"]))]
                as_json = {name: [json.dumps(row[name]) for row in rows] for name in names}
                database.register("read", pyarrow.table(as_json))
                source = "(SELECT COLUMNS(*)::JSON FROM read)"
            check(entry, reader, source, right)

for line in problems[:20]:
    print(line)
print(len(problems), "problems; read:", checked, "left out:", left_out)
sys.exit(1 if problems else 0)
