//! The registry on a PostgreSQL server that fails in every way in which a server can.

use crate::support::{Installation, wait};
use pudato_testing::{Database, Postgres, skipped};
use serde_json::Value;

const PHASE: usize = 60;

struct Setting {
    server: Postgres,
    database: Database,
    installation: Installation,
    published: usize,
}

impl Setting {
    fn new(test: &str) -> Option<Self> {
        if let Err(why) = Postgres::programs() {
            skipped(test, &why);
            return None;
        }
        let server = Postgres::start().expect("a server");
        let database = server.database().expect("a database");
        // The owner of the server always gets a connection; pudato's role has no such privilege.
        let name = &database.name;
        let role =
            format!("CREATE ROLE pudato LOGIN; GRANT CREATE, CONNECT ON DATABASE {name} TO pudato");
        server.psql(name, &role).expect("a role");
        let mut installation = Installation::new();
        installation.set("REGISTRY_DATABASE_URL", &server.url("pudato", name));
        Some(Self {
            server,
            database,
            installation,
            published: 0,
        })
    }

    fn psql(&self, sql: &str) -> String {
        self.server.psql(&self.database.name, sql).expect("done")
    }

    /// Publishes a number of commands, each with a step of its own.
    fn publish(&mut self, count: usize) {
        for _ in 0..count {
            let n = self.published;
            let data = format!("data={n}");
            let (path, step) = (format!("path={n}.txt"), format!("step-{n}"));
            let put = [
                "publish",
                "storage",
                "put_object",
                "container=lake",
                &path,
                &data,
            ];
            self.installation
                .ok(&[&put[..], &["--job", "job-1", "--step", &step]].concat());
            self.published += 1;
        }
    }

    /// Everything that was published is recorded once, and nothing else.
    fn all_is_there_once(&self) {
        let count = |sql: &str| {
            let counted = self.server.psql(&self.database.name, sql);
            counted
                .ok()
                .and_then(|text| text.parse().ok())
                .unwrap_or(0_usize)
        };
        let published = self.published;
        wait("every Result", || {
            count("SELECT COUNT(*) FROM pudato.result") >= published
        });
        assert_eq!(count("SELECT COUNT(*) FROM pudato.result"), published);
        assert_eq!(
            count("SELECT COUNT(*) FROM pudato.step WHERE status = 'success'"),
            published
        );
        assert_eq!(count("SELECT COUNT(*) FROM pudato.edge"), published);
        assert_eq!(count("SELECT steps_ended FROM pudato.job"), published);
    }

    fn says(&self, what: &str) {
        wait(what, || self.installation.logged().contains(what));
    }

    /// Closes all connections.
    fn disconnect(&self) {
        self.psql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'pudato'",
        );
    }
}

#[test]
fn whatever_the_server_does_no_result_is_lost_or_written_twice() {
    let Some(mut setting) = Setting::new("whatever_the_server_does") else {
        return;
    };
    let _up = setting.installation.up();
    setting.publish(PHASE);
    setting.all_is_there_once();

    // The server is killed while it writes, again and again.
    for _ in 0..3 {
        setting.publish(PHASE / 3);
        setting.server.kill();
        setting.publish(5);
        setting.server.run().expect("started again");
    }
    setting.says("the registry is unavailable");
    setting.all_is_there_once();

    // No connection is left.
    setting.psql("ALTER ROLE pudato CONNECTION LIMIT 0");
    setting.disconnect();
    setting.publish(PHASE);
    setting.says("too many connections");
    setting.psql("ALTER ROLE pudato CONNECTION LIMIT -1");
    setting.all_is_there_once();

    // The server is read-only, like a standby.
    setting.psql("ALTER ROLE pudato SET default_transaction_read_only = on");
    setting.disconnect();
    setting.publish(PHASE);
    setting.says("only reads at present");
    setting.psql("ALTER ROLE pudato RESET default_transaction_read_only");
    setting.disconnect();
    setting.all_is_there_once();

    // Every tenth statement that writes a Result fails.
    setting.psql(
        "CREATE SEQUENCE public.statement;
         GRANT USAGE ON SEQUENCE public.statement TO pudato;
         CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF nextval('public.statement') % 10 = 0 THEN RAISE EXCEPTION 'the tenth statement fails'; END IF;
            RETURN NULL; END $$;
         CREATE TRIGGER fail BEFORE INSERT ON pudato.result FOR EACH STATEMENT EXECUTE FUNCTION public.fail()",
    );
    setting.publish(PHASE);
    setting.says("the tenth statement fails");
    setting.all_is_there_once();
}

#[test]
fn commands_are_accepted_while_the_server_is_down() {
    let Some(mut setting) = Setting::new("commands_are_taken") else {
        return;
    };
    setting.server.kill();
    let _up = setting.installation.up();
    setting.publish(5);
    let (code, error) = setting.installation.fails(&["lineage", "lake/0.txt"]);
    assert_eq!(code, 4, "{error}");
    assert!(error.contains("127.0.0.1"), "{error}");
    setting.server.run().expect("started again");
    setting.all_is_there_once();
    let hop = setting
        .installation
        .ok(&["lineage", "lake/0.txt", "--json"]);
    let hop: Value = serde_json::from_str(&hop).expect("JSON");
    assert_eq!(hop["edges"][0]["step"], "step-0");
}

/// Each role may do only its own work (docs/security.md).
#[test]
fn a_role_that_may_create_nothing_can_run_everything() {
    let Some(mut setting) = Setting::new("a_role_that_may_make_nothing") else {
        return;
    };
    let name = setting.database.name.clone();
    setting.psql(&format!("REVOKE CREATE ON DATABASE {name} FROM pudato"));
    // The role may not create the tables; the error says which role may.
    let (code, error) = setting.installation.fails(&["registry", "migrate"]);
    assert_eq!(code, 3, "{error}");
    assert!(error.contains("registry migrate --grant ROLE"), "{error}");
    let owner = setting.database.url.clone();
    let made = setting
        .installation
        .command(&["registry", "migrate", "--grant", "pudato"])
        .env("REGISTRY_DATABASE_URL", owner)
        .output()
        .expect("it runs");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let _up = setting.installation.up();
    setting.publish(3);
    setting.all_is_there_once();
    setting
        .installation
        .ok(&["registry", "prune", "--older-than", "1d"]);
    for sql in [
        "CREATE TABLE pudato.x (n int)",
        "DROP TABLE pudato.edge",
        "ALTER TABLE pudato.job ADD COLUMN x int",
        "TRUNCATE pudato.result",
        "DELETE FROM pudato.migration",
        "CREATE SCHEMA x",
    ] {
        let error = setting
            .server
            .psql_as("pudato", &name, sql)
            .expect_err("refused");
        assert!(
            error.contains("permission denied") || error.contains("must be owner"),
            "{sql}: {error}"
        );
    }
}
