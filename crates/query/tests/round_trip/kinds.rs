//! Types of docs/sql.md, with values of theirs as SQL and how they are got back from a text.

use proptest::prelude::*;
use proptest::strategy::BoxedStrategy;
use pudato_query::Format;

/// A type and its values.
#[derive(Clone)]
pub struct Kind {
    /// As in a cast.
    pub sql: &'static str,
    values: fn() -> BoxedStrategy<String>,
    /// Makes the value of `{json}`, the JSON that it was written as; a cast of its text where this is empty.
    back: &'static str,
    /// Whether it is JSON in a text of columns as well.
    is_nested: bool,
    /// Whether a text of columns, and Parquet, hold it; where not, its writing is refused.
    in_columns: bool,
    in_parquet: bool,
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.sql)
    }
}

impl Kind {
    const fn new(sql: &'static str, values: fn() -> BoxedStrategy<String>) -> Self {
        Self {
            sql,
            values,
            back: "",
            is_nested: false,
            in_columns: true,
            in_parquet: true,
        }
    }

    const fn back(mut self, back: &'static str) -> Self {
        self.back = back;
        self
    }

    const fn nested(mut self, back: &'static str) -> Self {
        self.is_nested = true;
        self.back(back)
    }

    const fn not_in_columns(mut self) -> Self {
        self.in_columns = false;
        self
    }

    const fn not_in_parquet(mut self) -> Self {
        self.in_parquet = false;
        self
    }

    /// Whether `format` holds it.
    pub fn fits(&self, format: Format) -> bool {
        match format {
            Format::Csv | Format::Tsv => self.in_columns,
            Format::Json | Format::Jsonl => true,
            Format::Parquet => self.in_parquet,
        }
    }

    /// A value of it or NULL, as SQL.
    pub fn literal(&self) -> impl Strategy<Value = String> + use<> {
        let sql = self.sql;
        prop_oneof![
            1 => Just(format!("NULL::{sql}")),
            6 => (self.values)().prop_map(move |value| format!("({value})::{sql}")),
        ]
    }

    /// SQL that makes a value of the field `name` as it was read.
    pub fn restore(&self, name: &str, format: Format) -> String {
        let json = match format {
            Format::Csv | Format::Tsv => format!("{name}::VARCHAR::JSON"),
            _ => format!("to_json({name})"),
        };
        match format {
            Format::Parquet => format!("{name}::{}", self.sql),
            Format::Csv | Format::Tsv if self.sql == "INTERVAL" => name.to_owned(),
            Format::Csv | Format::Tsv if !self.is_nested => format!("{name}::{}", self.sql),
            // The text of a JSON value, be it a text or a number.
            _ if self.back.is_empty() => format!("({json}->>'$')::{}", self.sql),
            _ => self.back.replace("{json}", &json),
        }
    }
}

fn text(value: impl std::fmt::Display) -> String {
    format!("'{}'", value.to_string().replace('\'', "''"))
}

fn number<T: Arbitrary + std::fmt::Display + 'static>() -> BoxedStrategy<String> {
    any::<T>().prop_map(text).boxed()
}

fn finite<T: Arbitrary + std::fmt::Display + std::fmt::LowerExp + 'static>() -> BoxedStrategy<String>
{
    any::<T>()
        .prop_map(|value| text(format!("{value:e}")))
        .boxed()
}

fn float() -> BoxedStrategy<String> {
    let odd =
        proptest::sample::select(&["nan", "inf", "-inf", "-0.0", "0.1", "1e300", "5e-324"][..]);
    prop_oneof![odd.prop_map(text), finite::<f64>()].boxed()
}

fn single() -> BoxedStrategy<String> {
    let odd =
        proptest::sample::select(&["nan", "inf", "-inf", "-0.0", "0.1", "3.4e38", "1e-45"][..]);
    prop_oneof![odd.prop_map(text), finite::<f32>()].boxed()
}

fn decimal(digits: &'static str) -> BoxedStrategy<String> {
    digits.prop_map(text).boxed()
}

/// Texts that look like something else among them.
fn words() -> BoxedStrategy<String> {
    let telling = proptest::sample::select(
        &[
            "",
            " ",
            "NULL",
            "null",
            "NaN",
            "nan",
            "007",
            "1.50",
            "1e5",
            "-0",
            "0x1f",
            "true",
            "T",
            "2026-01-31",
            "2026-1-5",
            "10:30",
            "#",
            "a,b",
            "a\tb",
            "a;b",
            "a|b",
            "\"",
            "\"\"",
            "a\"b",
            "line\nbreak",
            "cr\rhere",
            "crlf\r\nhere",
            " space ",
            "{}",
            "[1]",
            "null,",
            "\\N",
            "\\",
            "12345678901234567890123",
            "9007199254740993",
            "é",
            "日本",
            "\u{feff}x",
            "550e8400-e29b-41d4-a716-446655440000",
            "NA",
            "n/a",
            "inf",
            "Infinity",
            "1_000",
            "1,5",
        ][..],
    );
    prop_oneof![
        telling.prop_map(text),
        "[ -~]{0,12}".prop_map(text),
        "\\PC{0,6}".prop_map(text)
    ]
    .boxed()
}

fn day() -> BoxedStrategy<String> {
    (1..=9999_u32, 1..=12_u32, 1..=28_u32)
        .prop_map(|(year, month, day)| format!("{year:04}-{month:02}-{day:02}"))
        .boxed()
}

fn time(digits: u32) -> BoxedStrategy<String> {
    (0..86_400_u32, 0..10_u64.pow(digits))
        .prop_map(move |(second, part)| {
            let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
            let clock = format!("{hour:02}:{minute:02}:{second:02}");
            match digits {
                0 => clock,
                digits => format!("{clock}.{part:0digits$}", digits = digits as usize),
            }
        })
        .boxed()
}

fn dates() -> BoxedStrategy<String> {
    day().prop_map(text).boxed()
}

fn moments(digits: u32) -> BoxedStrategy<String> {
    (day(), time(digits))
        .prop_map(|(day, time)| text(format!("{day} {time}")))
        .boxed()
}

fn instants() -> BoxedStrategy<String> {
    (day(), time(6))
        .prop_map(|(day, time)| text(format!("{day} {time}+00")))
        .boxed()
}

/// Nanoseconds since 1970 reach from 1677 to 2262.
fn nanoseconds() -> BoxedStrategy<String> {
    (1700..=2200_u32, time(9))
        .prop_map(|(year, time)| text(format!("{year}-02-28 {time}")))
        .boxed()
}

fn with_offset() -> BoxedStrategy<String> {
    (time(6), -14..=14_i32)
        .prop_map(|(time, hour)| text(format!("{time}{hour:+03}")))
        .boxed()
}

fn intervals() -> BoxedStrategy<String> {
    (
        -100..100_i32,
        -40..40_i32,
        -90_000_000_000..90_000_000_000_i64,
    )
        .prop_map(|(months, days, micros)| {
            format!("to_months({months}) + to_days({days}) + to_microseconds({micros})")
        })
        .boxed()
}

fn bytes() -> BoxedStrategy<String> {
    proptest::collection::vec(any::<u8>(), 0..8)
        .prop_map(|bytes| {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("unhex('{hex}')")
        })
        .boxed()
}

fn list_of(values: BoxedStrategy<String>, r#type: &'static str) -> BoxedStrategy<String> {
    let value = prop_oneof![1 => Just("NULL".to_owned()), 5 => values];
    proptest::collection::vec(value, 0..4)
        .prop_map(move |values| {
            let values: Vec<String> = values
                .iter()
                .map(|value| format!("({value})::{type}"))
                .collect();
            format!("[{}]", values.join(", "))
        })
        .boxed()
}

fn structs() -> BoxedStrategy<String> {
    (any::<i32>(), words())
        .prop_map(|(a, b)| format!("{{'a': {a}::INTEGER, 'b it''s': {b}}}"))
        .boxed()
}

fn maps() -> BoxedStrategy<String> {
    proptest::collection::btree_map("[a-z \"']{1,4}", any::<i32>(), 0..4)
        .prop_map(|pairs| {
            let pairs: Vec<String> = pairs
                .into_iter()
                .map(|(key, value)| format!("{}: {value}", text(key)))
                .collect();
            format!("MAP {{{}}}", pairs.join(", "))
        })
        .boxed()
}

fn unions() -> BoxedStrategy<String> {
    let number = any::<i32>().prop_map(|number| format!("union_value(num := {number})"));
    let word = "[a-z]{1,4}".prop_map(|word| format!("union_value(str := {})", text(word)));
    prop_oneof![number, word].boxed()
}

fn points() -> BoxedStrategy<String> {
    (-180..=180_i32, -90..=90_i32)
        .prop_map(|(x, y)| text(format!("POINT ({x} {y})")))
        .boxed()
}

/// All that are written and read back.
pub const KINDS: &[Kind] = &[
    Kind::new("BOOLEAN", number::<bool>),
    Kind::new("TINYINT", number::<i8>),
    Kind::new("SMALLINT", number::<i16>),
    Kind::new("INTEGER", number::<i32>),
    Kind::new("BIGINT", number::<i64>),
    Kind::new("UTINYINT", number::<u8>),
    Kind::new("USMALLINT", number::<u16>),
    Kind::new("UINTEGER", number::<u32>),
    Kind::new("UBIGINT", number::<u64>),
    Kind::new("HUGEINT", || "-?[1-9][0-9]{0,36}".prop_map(text).boxed()),
    Kind::new("UHUGEINT", || "[1-9][0-9]{0,36}".prop_map(text).boxed()),
    Kind::new("BIGNUM", || "-?[1-9][0-9]{0,60}".prop_map(text).boxed()),
    Kind::new("FLOAT", single).back("coalesce({json}->>'value', {json}->>'$')::FLOAT"),
    Kind::new("DOUBLE", float).back("coalesce({json}->>'value', {json}->>'$')::DOUBLE"),
    Kind::new("DECIMAL(4,1)", || decimal("-?[0-9]{1,3}\\.[0-9]")),
    Kind::new("DECIMAL(18,6)", || decimal("-?[0-9]{1,12}\\.[0-9]{6}")),
    Kind::new("DECIMAL(38,9)", || decimal("-?[0-9]{1,29}\\.[0-9]{9}")),
    Kind::new("VARCHAR", words),
    Kind::new("UUID", || {
        "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
            .prop_map(text)
            .boxed()
    }),
    Kind::new("ENUM('a', 'b c', '')", || {
        proptest::sample::select(&["'a'", "'b c'", "''"][..])
            .prop_map(str::to_owned)
            .boxed()
    }),
    Kind::new("JSON", || {
        proptest::sample::select(
            &[
                "'{\"a\": [1, null, 1.50]}'",
                "'null'",
                "'12345678901234567890'",
                "'\"it''s\"'",
                "'[]'",
            ][..],
        )
        .prop_map(str::to_owned)
        .boxed()
    }),
    Kind::new("DATE", dates),
    Kind::new("TIME", || time(6).prop_map(text).boxed()),
    Kind::new("TIME_NS", || time(9).prop_map(text).boxed()),
    Kind::new("TIMESTAMP", || moments(6)),
    Kind::new("TIMESTAMP_S", || moments(0)),
    Kind::new("TIMESTAMP_MS", || moments(3)),
    Kind::new("TIMESTAMP_NS", nanoseconds),
    Kind::new("TIMESTAMPTZ", instants),
    Kind::new("TIMETZ", with_offset).not_in_parquet(),
    // DuckDB reads no duration of ISO 8601: it stays a text.
    Kind::new("INTERVAL", intervals)
        .back("{json}->>'$'")
        .not_in_parquet(),
    Kind::new("BLOB", bytes)
        .back("from_base64({json}->>'base64')")
        .not_in_columns(),
    Kind::new("BIT", || "[01]{1,20}".prop_map(text).boxed()),
    Kind::new("INTEGER[]", || list_of(number::<i32>(), "INTEGER")).nested("{json}::INTEGER[]"),
    Kind::new("VARCHAR[]", || list_of(words(), "VARCHAR")).nested("{json}::VARCHAR[]"),
    Kind::new("DECIMAL(10,2)[]", || {
        list_of(decimal("-?[0-9]{1,7}\\.[0-9]{2}"), "DECIMAL(10,2)")
    })
    .nested("{json}::DECIMAL(10,2)[]"),
    Kind::new("TIMESTAMP[]", || list_of(moments(6), "TIMESTAMP")).nested("{json}::TIMESTAMP[]"),
    Kind::new("INTEGER[2]", || {
        (any::<i32>(), any::<i32>())
            .prop_map(|(a, b)| format!("[{a}, {b}]"))
            .boxed()
    })
    .nested("{json}::INTEGER[]::INTEGER[2]"),
    Kind::new("STRUCT(a INTEGER, \"b it's\" VARCHAR)", structs)
        .nested("{json}::STRUCT(a INTEGER, \"b it's\" VARCHAR)"),
    Kind::new("STRUCT(a INTEGER, \"b it's\" VARCHAR)[]", || {
        list_of(structs(), "STRUCT(a INTEGER, \"b it's\" VARCHAR)")
    })
    .nested("{json}::STRUCT(a INTEGER, \"b it's\" VARCHAR)[]"),
    Kind::new("MAP(VARCHAR, INTEGER)", maps)
        .nested("map_from_entries({json}::STRUCT(\"key\" VARCHAR, \"value\" INTEGER)[])"),
    Kind::new("UNION(num INTEGER, str VARCHAR)", unions)
        .nested(
            "CASE WHEN {json}->>'num' IS NOT NULL
                 THEN union_value(num := ({json}->>'num')::INTEGER)::UNION(num INTEGER, str VARCHAR)
             WHEN {json}->>'str' IS NOT NULL
                 THEN union_value(str := {json}->>'str')::UNION(num INTEGER, str VARCHAR) END",
        )
        .not_in_parquet(),
    Kind::new("GEOMETRY", points).not_in_parquet(),
];
