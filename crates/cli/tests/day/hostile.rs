//! The attempts of the hostile sender. Each is harmless input that pudato's own guards refuse or handle, and each must come to its expected
//! end: the hostile sender gets answers, too.

use super::attempts::{Attempt, Ends, Seen, Sends, Topic, sends_raw};
use super::random::Random;
use pudato_runtime::protocol::{Command, Object, encode};
use serde_json::{Value, json};

pub const HOSTILE: &str = "mal";
/// The limits of a message (docs/design/messages.md): its bytes, its depth, its keys.
const BODY_BYTES_MAX: usize = 1_048_576;
const DEPTH_MAX: usize = 64;
const KEYS_MAX: usize = 10_000;
/// The limit of nesting in SQL (docs/sql.md).
const SQL_DEPTH_MAX: usize = 200;

/// Macros with the names of functions that honest senders, or pudato itself, call.
const MACROS: [&str; 7] = [
    "count(x) AS 42",
    "sum(x) AS 42",
    "lower(x) AS 'foreign'",
    "max(x) AS 'foreign'",
    "sniff_csv(x) AS TABLE SELECT 'nothing' AS Prompt",
    "read_csv(x) AS TABLE SELECT 42 AS n, 'foreign' AS word",
    "duckdb_tables() AS TABLE SELECT 'nothing' AS table_name",
];

/// Valid but unusual names of objects.
const ODD_PATHS: [&str; 8] = [
    "a#1",
    "b c/d%20e",
    "ü/ñ.txt",
    "-rf",
    "[1]*?.txt",
    "x'y\"z",
    "con",
    "..a/...",
];
/// Names that point elsewhere, or that no object has.
const BAD_PATHS: [&str; 8] = [
    "../{other}/raw/part-0.csv",
    "a/../../{other}/raw/part-0.csv",
    "%2e%2e/{other}/raw/part-0.csv",
    "/etc/hostname",
    "a//b",
    "a\\b",
    ".pudato/a",
    "a\nb",
];
const BAD_CONTAINERS: [&str; 5] = ["..", "A-B", "ab", "{other}/raw", "{other}/../{other}"];

/// Statements that must be refused. `{table}` is a table of another sender.
const BAD_SQL: [&str; 8] = [
    "SELECT 1; DROP TABLE {table}",
    "SELECT * FROM pudato.answer",
    "DROP SCHEMA pudato CASCADE",
    "SELECT * FROM read_csv('/etc/hostname')",
    "SELECT * FROM glob('/**')",
    "ATTACH 'elsewhere.db'",
    "SET memory_limit = '1TB'",
    "COPY {table} TO 'elsewhere.csv'",
];

/// Tables of the hostile sender whose names mean something else to others: pudato's own SQL, and the source `src` of every honest sender.
/// `{own}` is its own name.
const ODD_TABLES: [&str; 6] = [
    "src",
    "sniff_csv",
    "duckdb_tables",
    "{own} \"\"; DROP TABLE x; --",
    "{own}.main.count",
    "{own}_ß'1",
];

/// The attempts of a seed.
pub struct Hostile<'a> {
    seed: u64,
    pub(super) random: Random,
    pub(super) seen: &'a Seen,
    last: usize,
    /// The names of the honest senders.
    others: &'a [&'static str],
}

pub(super) fn object(value: Value) -> Object {
    value.as_object().cloned().unwrap_or_default()
}

/// This many nested arrays.
fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

impl<'a> Hostile<'a> {
    pub fn new(seed: u64, seen: &'a Seen, others: &'a [&'static str]) -> Self {
        Self {
            seed,
            random: Random::new(seed, HOSTILE),
            seen,
            last: 0,
            others,
        }
    }

    /// The hostile sender's own container.
    pub fn container(&self) -> String {
        format!("d{}-{HOSTILE}", self.seed)
    }

    /// Creates its container, so that files can be put into it.
    pub fn first(&mut self) -> Attempt {
        let payload = json!({"container": self.container(), "path": "first.csv", "data": "n,word\n1,foreign\n"});
        self.command(
            "its own object",
            "storage",
            "put_object",
            payload,
            Ends::Done,
        )
    }

    /// The files that are put into the container without pudato: pipes, and links to data of others.
    pub fn lays(&self) -> [(&'static str, String); 3] {
        let other = self.others.first().copied().unwrap_or_default();
        [
            (
                "linked.csv",
                format!("../d{}-{other}/raw/part-0.csv", self.seed),
            ),
            ("linked", format!("../d{}-{other}/raw", self.seed)),
            ("outside.csv", "/etc/hostname".into()),
        ]
    }

    /// Some attempts that belong together, in order.
    pub fn next(&mut self) -> Vec<Attempt> {
        match self.random.below(20) {
            0 => vec![self.oversized()],
            1 => vec![self.too_deep()],
            2 => vec![self.too_many_keys()],
            3 => vec![self.deep_sql()],
            4 => self.deep_source(),
            5 => vec![self.odd_path()],
            6 => vec![self.bad_path()],
            7 => vec![self.bad_container()],
            8 => vec![self.shadowing()],
            9 => vec![self.odd_table()],
            10 => vec![self.bad_sql()],
            11 => vec![self.future_command()],
            12 | 13 => vec![self.foreign_step()],
            14 => vec![self.foreign_id()],
            15 => vec![self.forged_result()],
            16 => vec![self.pipe()],
            17 => vec![self.link()],
            18 => vec![self.wrong_service()],
            _ => vec![Attempt {
                what: "a kill of the engine's process",
                sends: Sends::Kill,
                ends: Ends::Unknown,
            }],
        }
    }

    pub(super) fn new_id(&mut self) -> String {
        self.last += 1;
        format!("d{}-{HOSTILE}-command-{}", self.seed, self.last)
    }

    fn filled(&mut self, text: &str) -> String {
        let other = *self.random.pick(self.others);
        text.replace("{other}", &format!("d{}-{other}", self.seed))
            .replace("{table}", &format!("d{}_{other}_t0", self.seed))
            .replace("{own}", &format!("d{}_{HOSTILE}", self.seed))
    }

    pub(super) fn command(
        &mut self,
        what: &'static str,
        service: &'static str,
        action: &'static str,
        payload: Value,
        ends: Ends,
    ) -> Attempt {
        let mut command = Command::new(service, action, object(payload));
        command.correlation_id = self.new_id();
        Attempt {
            what,
            sends: Sends::Command(Box::new(command)),
            ends,
        }
    }

    pub(super) fn sql(&mut self, what: &'static str, sql: String, ends: Ends) -> Attempt {
        self.command(what, "query", "execute_sql", json!({"sql": sql}), ends)
    }

    pub(super) fn put(
        &mut self,
        what: &'static str,
        path: &str,
        data: &str,
        ends: Ends,
    ) -> Attempt {
        let payload = json!({"container": self.container(), "path": path, "data": data});
        self.command(what, "storage", "put_object", payload, ends)
    }

    /// A raw body for the topic of storage commands.
    fn raw(&mut self, what: &'static str, rest: &str, ends: Ends) -> Attempt {
        let id = self.new_id();
        let body = format!(
            r#"{{"type":"storage","action":"list_objects","correlation_id":"{id}",{rest}}}"#
        );
        sends_raw(what, id, Topic::Commands("storage"), body, ends)
    }

    fn oversized(&mut self) -> Attempt {
        let filler = "x".repeat(BODY_BYTES_MAX);
        let rest = format!(r#""payload":{{"container":"{filler}"}}"#);
        self.raw("a body over the limit", &rest, Ends::Unpublished)
    }

    fn too_deep(&mut self) -> Attempt {
        // The body itself and its metadata are two levels.
        let depth = DEPTH_MAX - 2 + self.random.below(3);
        let container = self.container();
        let rest = format!(
            r#""payload":{{"container":"{container}"}},"metadata":{{"a":{}}}"#,
            nested(depth)
        );
        match depth + 2 > DEPTH_MAX {
            true => self.raw("a body too deep", &rest, Ends::DeadLettered),
            false => self.raw("a body as deep as it may be", &rest, Ends::Done),
        }
    }

    fn too_many_keys(&mut self) -> Attempt {
        let keys: Vec<String> = (0..KEYS_MAX).map(|n| format!(r#""k{n}":0"#)).collect();
        let rest = format!(r#""payload":{{{}}}"#, keys.join(","));
        self.raw("a body of too many keys", &rest, Ends::DeadLettered)
    }

    fn deep_sql(&mut self) -> Attempt {
        let depth = SQL_DEPTH_MAX + 1;
        let sql = format!("SELECT {}1{}", "(".repeat(depth), ")".repeat(depth));
        self.sql(
            "SQL nested too deeply",
            sql,
            Ends::Refused("nested at most"),
        )
    }

    fn deep_source(&mut self) -> Vec<Attempt> {
        let data = format!("{{\"a\": {}}}\n", nested(DEPTH_MAX));
        let path = "nested.jsonl";
        let made = self.put("an object nested too deeply", path, &data, Ends::Done);
        let payload = json!({"sql": "FROM src", "sources": {"src": {"container": self.container(), "path": path}}});
        let ends = Ends::Refused("nested at most");
        let read = self.command(
            "a source nested too deeply",
            "query",
            "execute_sql",
            payload,
            ends,
        );
        vec![made, read]
    }

    pub(super) fn odd_path(&mut self) -> Attempt {
        let path = *self.random.pick(&ODD_PATHS);
        self.put("an odd name of an object", path, "foreign", Ends::Done)
    }

    fn bad_path(&mut self) -> Attempt {
        let path = *self.random.pick(&BAD_PATHS);
        let path = self.filled(path);
        self.put(
            "a path that leads elsewhere",
            &path,
            "foreign",
            Ends::Refused("path"),
        )
    }

    fn bad_container(&mut self) -> Attempt {
        let container = *self.random.pick(&BAD_CONTAINERS);
        let payload = json!({"container": self.filled(container), "path": "raw/part-0.csv"});
        let ends = Ends::Refused("container");
        self.command("an odd container", "storage", "get_object", payload, ends)
    }

    fn shadowing(&mut self) -> Attempt {
        let text = *self.random.pick(&MACROS);
        let sql = format!("CREATE OR REPLACE MACRO {text}");
        self.sql(
            "a macro under a function's name",
            sql,
            Ends::Refused("choose another"),
        )
    }

    pub(super) fn odd_table(&mut self) -> Attempt {
        let name = *self.random.pick(&ODD_TABLES);
        let name = self.filled(name);
        let sql = format!(
            "CREATE OR REPLACE TABLE \"{name}\" AS SELECT 0::BIGINT AS n, 'foreign' AS word"
        );
        self.sql("a table under a name of others", sql, Ends::Done)
    }

    fn bad_sql(&mut self) -> Attempt {
        let sql = *self.random.pick(&BAD_SQL);
        let sql = self.filled(sql);
        self.sql("SQL that is not allowed", sql, Ends::Refused("payload.sql"))
    }

    fn pipe(&mut self) -> Attempt {
        let payload = json!({"container": self.container(), "path": "pipe.csv"});
        let ends = Ends::Refused("pipe.csv");
        match self.random.below(3) {
            0 => self.command("a pipe is read", "storage", "get_object", payload, ends),
            1 => self.put("a pipe is written", "pipe.csv", "foreign", ends),
            _ => {
                let payload = json!({"sql": "FROM src", "sources": {"src": payload}});
                self.command("a pipe as a source", "query", "execute_sql", payload, ends)
            }
        }
    }

    fn link(&mut self) -> Attempt {
        let path = *self
            .random
            .pick(&["linked.csv", "linked/part-0.csv", "outside.csv"]);
        let payload = json!({"container": self.container(), "path": path});
        let ends = Ends::Refused("link");
        match self.random.below(3) {
            0 => self.command("a link is read", "storage", "get_object", payload, ends),
            1 => self.put("a link is written", path, "foreign", ends),
            _ => {
                let payload = json!({"sql": "FROM src", "sources": {"src": payload}});
                self.command("a link as a source", "query", "execute_sql", payload, ends)
            }
        }
    }

    fn wrong_service(&mut self) -> Attempt {
        let id = self.new_id();
        let mut command = Command::new("registry", "create_job", object(json!({"pipeline": "p"})));
        command.correlation_id.clone_from(&id);
        let ends = Ends::Refused("type");
        let topic = Topic::Commands("query");
        sends_raw(
            "a command on a foreign queue",
            id,
            topic,
            encode(&command),
            ends,
        )
    }
}
