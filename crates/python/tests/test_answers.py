"""`Answer`: the rows of a query in Python, in data frames and in notebooks."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import duckdb
import pandas  # type: ignore[import-untyped, unused-ignore]
import polars
import pyarrow  # type: ignore[import-untyped, unused-ignore]
import pytest

from pudato import Client, Settings
from pudato.answers import Answer
from pudato.protocol import Result

# For each type: a value in SQL, the value in `rows`, and the value in pyarrow.
VALUES: list[tuple[str, Any, Any]] = [
    ("true", True, True),
    ("(-5)::TINYINT", -5, -5),
    ("300::SMALLINT", 300, 300),
    ("70000::INTEGER", 70000, 70000),
    ("9007199254740993::BIGINT", 9007199254740993, 9007199254740993),
    ("200::UTINYINT", 200, 200),
    ("60000::USMALLINT", 60000, 60000),
    ("4000000000::UINTEGER", 4000000000, 4000000000),
    ("18446744073709551615::UBIGINT", 18446744073709551615, 18446744073709551615),
    ("12::HUGEINT", 12, Decimal(12)),
    ("-99999999999999999999::HUGEINT", "-99999999999999999999", Decimal("-99999999999999999999")),
    ("0.1::FLOAT", 0.1, pytest.approx(0.1)),
    ("0.1::DOUBLE", 0.1, 0.1),
    ("'Infinity'::DOUBLE", math.inf, math.inf),
    ("1.50::DECIMAL(10,2)", "1.50", Decimal("1.50")),
    ("(-0.001)::DECIMAL(38,3)", "-0.001", Decimal("-0.001")),
    ("'é\"\\'", 'é"\\', 'é"\\'),
    ("'{\"a\": 1}'::JSON", '{"a": 1}', '{"a": 1}'),
    ("'\\x00\\xFF'::BLOB", b"\x00\xff", b"\x00\xff"),
    ("DATE '2024-02-29'", "2024-02-29", dt.date(2024, 2, 29)),
    ("DATE '0001-01-01'", "0001-01-01", dt.date(1, 1, 1)),
    ("TIME '10:30:00.25'", "10:30:00.250000", dt.time(10, 30, 0, 250000)),
    ("TIMESTAMP '1969-12-31 23:59:59.999999'", "1969-12-31T23:59:59.999999", dt.datetime(1969, 12, 31, 23, 59, 59, 999999)),
    ("TIMESTAMP_S '2026-01-31 10:30:00'", "2026-01-31T10:30:00", dt.datetime(2026, 1, 31, 10, 30)),
    ("TIMESTAMP_MS '2026-01-31 10:30:00.5'", "2026-01-31T10:30:00.500000", dt.datetime(2026, 1, 31, 10, 30, 0, 500000)),
    (
        "TIMESTAMPTZ '2026-01-31 10:30:00+02'",
        "2026-01-31T08:30:00+00:00",
        dt.datetime(2026, 1, 31, 8, 30, tzinfo=dt.UTC),
    ),
    ("[1, NULL, 3]", [1, None, 3], [1, None, 3]),
    ("[[1], []]", [[1], []], [[1], []]),
    ("[1.5::FLOAT, 2]::FLOAT[2]", [1.5, 2.0], [1.5, 2.0]),
    ("{'a': 1, 'b c': 'x'}", {"a": 1, "b c": "x"}, {"a": 1, "b c": "x"}),
    ("[{'d': DATE '2026-01-31'}]", [{"d": "2026-01-31"}], [{"d": dt.date(2026, 1, 31)}]),
    ("MAP {'k': 1}", [{"key": "k", "value": 1}], [("k", 1)]),
]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    settings = Settings(variables={}, data_dir=tmp_path_factory.mktemp("answers") / ".pudato", query_isolation="none")
    with Client(settings, serve=True) as client:
        yield client


def test_every_type_keeps_its_value_and_its_nulls_in_rows_and_in_arrow(client: Client) -> None:
    names = [f"c{n}" for n in range(len(VALUES))]
    values = ", ".join(f"{sql} AS {name}" for (sql, _, _), name in zip(VALUES, names, strict=True))
    nulls = ", ".join("NULL" for _ in names)
    answer = client.query(f"SELECT * FROM (SELECT {values} UNION ALL SELECT {nulls}) ORDER BY c0 NULLS LAST")
    assert answer.row_count == 2
    rows = answer.rows
    for n, (sql, value, _) in enumerate(VALUES):
        assert rows[0][n] == value and type(rows[0][n]) is type(value), sql
        assert rows[1][n] is None, sql
    table = pyarrow.table(answer)
    assert answer.as_text == []
    for n, (sql, _, value) in enumerate(VALUES):
        assert table.column(n).to_pylist() == [value, None], sql


def test_arrow_types_match_those_that_duckdb_exports(client: Client) -> None:
    columns = ", ".join(f"{sql} AS c{n}" for n, (sql, _, _) in enumerate(VALUES))
    own = client.query(f"SELECT {columns}").to_arrow()
    theirs = duckdb.sql(f"SET TimeZone = 'UTC'; SELECT {columns}").to_arrow_table()
    for n, (sql, _, _) in enumerate(VALUES):
        mine, other = own.schema.field(n).type, theirs.schema.field(n).type
        # DuckDB names list items differently, and marks JSON and map keys.
        assert _plain(mine) == _plain(other), f"{sql}: {mine} and {other}"


def _plain(type: Any) -> str:
    if isinstance(type, pyarrow.BaseExtensionType):
        type = type.storage_type
    text = str(type).replace("item: ", "l: ").replace("child: ", "l: ").replace("<: ", "<l: ").replace(" not null", "")
    return text


def test_nan_and_infinities_are_floats(client: Client) -> None:
    sql = "SELECT unnest(['NaN'::DOUBLE, '-Infinity', 1.5]) AS d, ['NaN'::FLOAT] AS f"
    answer = client.query(sql)
    assert math.isnan(answer.rows[0][0]) and answer.rows[1][0] == -math.inf and math.isnan(answer.rows[0][1][0])
    assert pyarrow.table(answer).column("d").to_pylist()[1:] == [-math.inf, 1.5]
    assert math.isnan(polars.DataFrame(answer)["d"][0])


def test_types_that_arrow_cannot_represent_become_strings_and_are_listed(client: Client) -> None:
    answer = client.query(
        "SELECT INTERVAL 3 DAY AS i, TIMETZ '10:30:00+02' AS t, union_value(a := 1) AS u, 'infinity'::DATE AS d, 1 AS n, [INTERVAL 1 DAY] AS l"
    )
    assert answer.as_text == ["i", "t", "u", "d", "l"]
    table = pyarrow.table(answer)
    assert [str(field.type) for field in table.schema][:5] == ["string", "string", "string", "string", "int32"]
    assert table.to_pylist() == [
        {"i": "P3D", "t": answer.rows[0][1], "u": '{"a":1}', "d": "infinity", "n": 1, "l": ["P1D"]}
    ]


def test_a_column_that_becomes_strings_keeps_its_earlier_rows(client: Client) -> None:
    answer = client.query("SELECT unnest([DATE '2026-01-31', NULL, 'infinity', DATE '2026-02-01']) AS d")
    assert pyarrow.table(answer).column("d").to_pylist() == ["2026-01-31", None, "infinity", "2026-02-01"]
    assert answer.as_text == ["d"]


def test_polars_pandas_pyarrow_and_duckdb_can_read_an_answer(client: Client) -> None:
    answer = client.query("SELECT i::INTEGER AS i, 'text ' || i AS t, DATE '2026-01-01' + i::INTEGER AS d FROM range(1000) r(i)")
    expected = [(n, f"text {n}", dt.date(2026, 1, 1) + dt.timedelta(n)) for n in range(1000)]
    assert polars.DataFrame(answer).rows() == expected
    assert answer.to_polars().rows() == expected
    assert list(pyarrow.table(answer).to_pandas().itertuples(index=False, name=None)) == expected
    assert list(answer.to_pandas().itertuples(index=False, name=None)) == expected
    assert list(pandas.DataFrame.from_arrow(answer)["i"]) == list(range(1000))
    assert duckdb.from_arrow(answer.to_arrow()).fetchall() == expected
    assert duckdb.sql("SELECT sum(i) FROM answer").fetchall() == [(499500,)]


def test_an_answer_without_rows_keeps_its_columns(client: Client) -> None:
    answer = client.query("SELECT 1 AS a, 'x' AS b WHERE false")
    assert (answer.row_count, answer.rows, answer.to_dicts()) == (0, [], [])
    assert [column.name for column in answer.columns] == ["a", "b"]
    assert polars.DataFrame(answer).schema == {"a": polars.Int32, "b": polars.String}


def test_to_dicts_needs_distinct_column_names(client: Client) -> None:
    assert client.query("SELECT 1 AS a, 'x' AS b").to_dicts() == [{"a": 1, "b": "x"}]
    twice = client.query("SELECT 1 AS a, 2 AS a")
    assert twice.rows == [(1, 2)]
    with pytest.raises(ValueError, match="two columns are named a"):
        twice.to_dicts()


def test_a_notebook_shows_twenty_escaped_rows_and_counts_the_rest(client: Client) -> None:
    answer = client.query("SELECT '<script>' || i AS \"<b>\", NULL AS n, 'ab'::BLOB AS raw FROM range(30) r(i)", max_rows=25)
    html = answer._repr_html_()
    assert html.count("&lt;script&gt;") == 20 and "<script>" not in html and "&lt;b&gt;" in html
    assert "<i>NULL</i>" in html and "<i>2 bytes</i>" in html
    assert "25 rows, 5 not shown; the query has more rows" in html
    assert repr(answer) == '<Answer: 25 rows, truncated; <b> VARCHAR, n INTEGER, raw BLOB>'


def test_an_answer_can_be_made_from_the_result_of_a_call(client: Client) -> None:
    result = client.call("query", "execute_sql", {"sql": "SELECT 1.5::DECIMAL(3,1) AS a, '\\xFF'::BLOB AS b"})
    answer = Answer.from_result(result)
    assert answer.rows == [("1.5", b"\xff")]
    assert answer.to_arrow().to_pylist() == [{"a": Decimal("1.5"), "b": b"\xff"}]
    assert answer.result.correlation_id == result.correlation_id
    with pytest.raises(ValueError, match="found status 'error'"):
        Answer.from_result(Result.error("c", ["no"]))


def test_a_missing_library_is_named(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    answer = client.query("SELECT 1 AS a")
    for library, convert in (("polars", answer.to_polars), ("pandas", answer.to_pandas), ("pyarrow", answer.to_arrow)):
        with monkeypatch.context() as patched:
            patched.setitem(sys.modules, library, None)
            with pytest.raises(ImportError, match=f"pip install .*{library}"):
                convert()
