"""Answers to queries, as rows, as data frames, and as tables in a notebook."""

from __future__ import annotations

from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

from pudato import _core
from pudato._claim import ClaimBody
from pudato.protocol import Result

if TYPE_CHECKING:
    import pandas  # type: ignore[import-untyped, unused-ignore]
    import polars
    import pyarrow  # type: ignore[import-untyped, unused-ignore]

__all__ = ["Answer", "Column"]

_SHOWN = 20


class Column(NamedTuple):
    """A column of an answer: its name, and its type in DuckDB's notation."""

    name: str
    type: str


class Answer:
    """The answer to a query.

    Any library that reads Arrow's C interface can read it as a table: `polars.DataFrame(answer)`, `pyarrow.table(answer)`,
    `pandas.DataFrame.from_arrow(answer)`, `duckdb.from_arrow(answer)`. The columns keep DuckDB's types, except that
    INTERVAL, TIME WITH TIME ZONE, UHUGEINT, BIT, BIGNUM, UNION, GEOMETRY and user-defined types become strings. So does a column with a
    value that its Arrow type cannot represent, such as the date `infinity`. `as_text` lists these columns.

    With `into=` the rows are in an object instead: see `location` and `scan`.
    """

    def __init__(self, core: _core.Answer) -> None:
        self._core = core

    @classmethod
    def from_result(cls, result: Result) -> Answer:
        """Reads the answer from the Result of a query, such as one from `Client.call`.

        Raises:
            ValueError: The Result is not from a successful query.
        """
        data = result.data or {}
        if result.status != "success" or not ("columns" in data or "into" in data):
            raise ValueError(f"result: expected one from a successful query, found status {result.status!r}")
        return cls(_core.Answer(result.model_dump_json().encode()))

    @property
    def columns(self) -> list[Column]:
        """The columns, in order."""
        return [Column(name, type) for name, type in self._core.columns]

    @property
    def row_count(self) -> int:
        """The number of rows, in this answer or in the object that `into=` wrote."""
        return self._core.row_count

    @property
    def truncated(self) -> bool:
        """Whether `max_rows` cut off further rows."""
        return self._core.truncated

    @property
    def as_text(self) -> list[str]:
        """The columns that are strings in Arrow, and therefore in every data frame, because Arrow cannot represent their type."""
        return self._core.as_text

    @cached_property
    def rows(self) -> list[tuple[Any, ...]]:
        """The rows as tuples, with values as in messages (docs/sql.md): a DATE or a DECIMAL is a string.

        BLOBs are `bytes`, and NaN and infinities are `float`s.
        """
        return self._core.rows()

    @cached_property
    def result(self) -> Result:
        """The Result, including its lineage."""
        return Result.model_validate_json(ClaimBody(self._core.text))

    @property
    def location(self) -> str | None:
        """Where the rows are, if the query had `into=`: `file:///…` or `s3://…`."""
        location = self._into.get("location")
        return None if location is None else str(location)

    @property
    def _into(self) -> dict[str, Any]:
        if self.columns:
            return {}
        return (self.result.data or {}).get("into") or {}

    def to_dicts(self) -> list[dict[str, Any]]:
        """Returns the rows as dictionaries, with the column names as keys.

        Raises:
            ValueError: Two columns have the same name.
        """
        names = [name for name, _ in self._core.columns]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two columns are named {', '.join(twice)}; name them with AS, or use `rows`")
        return [dict(zip(names, row, strict=True)) for row in self.rows]

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The rows, by Arrow's PyCapsule interface. `requested_schema` is ignored, as the interface allows."""
        self._must_be_here()
        return self._core.stream()

    def to_arrow(self) -> pyarrow.Table:
        """The rows as a `pyarrow.Table`."""
        self._must_be_here()
        try:
            import pyarrow
        except ImportError as error:
            raise ImportError("to_arrow needs pyarrow: pip install pyarrow") from error
        return pyarrow.table(self)

    def to_polars(self) -> polars.DataFrame:
        """The rows as a `polars.DataFrame`."""
        self._must_be_here()
        try:
            import polars
        except ImportError as error:
            raise ImportError("to_polars needs polars: pip install polars") from error
        return polars.DataFrame(self)

    def to_pandas(self) -> pandas.DataFrame:
        """The rows as a `pandas.DataFrame`."""
        self._must_be_here()
        try:
            import pandas
            import pyarrow
        except ImportError as error:
            raise ImportError("to_pandas needs pandas and pyarrow: pip install pandas pyarrow") from error
        frame: pandas.DataFrame = pyarrow.table(self).to_pandas()
        return frame

    def scan(self) -> polars.LazyFrame:
        """Opens the object that `into=` wrote as a `polars.LazyFrame`, which reads only the data that it needs.

        Raises:
            ValueError: The query had no `into=`, or polars cannot scan the object's format.
        """
        location = self.location
        if location is None:
            raise ValueError("the answer contains the rows: use to_polars(); scan() needs a query with into=")
        try:
            import polars
        except ImportError as error:
            raise ImportError("scan needs polars: pip install polars") from error
        source = location.removeprefix("file://") if location.startswith("file:///") else location
        match self._into.get("format"):
            case "parquet":
                return polars.scan_parquet(source)
            case "csv":
                return polars.scan_csv(source)
            case "tsv":
                return polars.scan_csv(source, separator="\t")
            case "jsonl":
                return polars.scan_ndjson(source)
            case other:
                raise ValueError(f"polars cannot scan the format {other}; write parquet, csv, tsv or jsonl")

    def _must_be_here(self) -> None:
        if self.location is not None:
            raise ValueError(f"the rows are in {self.location}: use scan(), or run the query without into=")

    def __len__(self) -> int:
        return self.row_count

    def __repr__(self) -> str:
        if self.location is not None:
            return f"<Answer: {self.row_count:,} rows in {self.location}>"
        names = ", ".join(f"{name} {type}" for name, type in self._core.columns)
        more = ", truncated" if self.truncated else ""
        return f"<Answer: {self.row_count:,} rows{more}; {names}>"

    def _repr_html_(self) -> str:
        if self.location is not None:
            return f"<p>{self.row_count:,} rows in <code>{escape(self.location)}</code></p>"
        head = "".join(
            f"<th>{escape(name)}<br><small style='font-weight: normal'>{escape(type)}</small></th>"
            for name, type in self._core.columns
        )
        rows = self._core.rows(_SHOWN)
        body = "".join(f"<tr>{''.join(f'<td>{_cell(value)}</td>' for value in row)}</tr>" for row in rows)
        left = self.row_count - len(rows)
        foot = f"{self.row_count:,} rows"
        if left > 0:
            foot += f", {left:,} not shown"
        if self.truncated:
            foot += "; the query has more rows (max_rows)"
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><p><small>{foot}</small></p>"


def _cell(value: Any) -> str:
    if value is None:
        return "<i>NULL</i>"
    if isinstance(value, bytes):
        return f"<i>{len(value):,} bytes</i>"
    text = str(value)
    return escape(text if len(text) <= 200 else f"{text[:199]}…")
