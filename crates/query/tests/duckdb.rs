//! The promises of the query engine, kept by DuckDB: in a process of its own with a warehouse in a file and in memory, and in this
//! process.

use pudato_query::conformance::{self, Subject};
use pudato_query::duckdb::process::Program;
use pudato_query::duckdb::{DuckDb, Isolation, Options};
use std::path::Path;

fn options(folder: &Path, isolation: Isolation) -> Options {
    Options {
        scratch: folder.join("scratch"),
        memory_bytes: 256 << 20,
        spill_bytes: 64 << 20,
        threads: 2,
        isolation,
    }
}

/// DuckDB in a process of its own, as it runs everywhere but in a Lambda.
fn process() -> Isolation {
    Isolation::Process(Program::at(
        env!("CARGO_BIN_EXE_pudato-query-process").into(),
    ))
}

fn subject(folder: &Path, isolation: Isolation) -> Subject {
    let file = folder.join("warehouse.duckdb");
    let engine = DuckDb::file(&file, options(folder, isolation)).expect("an engine");
    Subject {
        engine: Box::new(engine),
    }
}

fn file(folder: &Path) -> Subject {
    subject(folder, process())
}

fn file_here(folder: &Path) -> Subject {
    subject(folder, Isolation::InProcess)
}

fn memory(folder: &Path) -> Subject {
    Subject {
        engine: Box::new(DuckDb::in_memory(options(folder, process()))),
    }
}

/// One test for each promise. Afterwards it checks what is left in the scratch folder.
macro_rules! promises {
    ($module:ident, $subject:ident: $($promise:ident)*) => {
        mod $module {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    let folder = tempfile::tempdir().expect("a folder");
                    super::conformance::$promise(super::$subject(folder.path())).await;
                    super::nothing_is_left(folder.path()).await;
                }
            )*
        }
    };
}

/// No source, answer or engine's folder outlives its work. A cancelled statement may end a moment later.
async fn nothing_is_left(folder: &Path) {
    let mut left = Vec::new();
    for _ in 0..100 {
        let entries = std::fs::read_dir(folder.join("scratch")).expect("scratch");
        left = entries.flatten().map(|entry| entry.file_name()).collect();
        if left.is_empty() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("left behind: {left:?}");
}

/// The promises of an engine with a warehouse in a file.
macro_rules! all_promises {
    ($($module:ident, $subject:ident;)*) => {
        $(promises! { $module, $subject:
            a_query_answers_with_columns_and_rows
            rows_beyond_the_most_are_left_out
            an_answer_of_too_many_bytes_is_refused
            parameters_are_bound
            parameters_and_values_must_fit
            one_statement_is_one
            a_wrong_statement_says_what_is_wrong
            sources_are_read_by_name
            a_source_that_cannot_be_read_is_named
            an_answer_is_written_and_read_back
            a_statement_ends_at_its_deadline
            a_dropped_work_is_undone
            nothing_outside_is_reached
            a_source_is_read_through_its_name_only
            strange_names_do_no_harm
            sources_have_names_that_sql_tells_apart
            memory_has_a_limit
            every_type_has_its_form
            a_work_is_one_transaction
            the_same_request_runs_once
            an_undone_request_runs_again
            works_at_once_all_take_effect
            what_pudato_keeps_is_safe
        })*
    };
}

all_promises! {
    warehouse, file;
    in_this_process, file_here;
}

// Left out: a_work_is_one_transaction, the_same_request_runs_once, an_undone_request_runs_again, works_at_once_all_take_effect
// and what_pudato_keeps_is_safe, because nothing lasts in memory.
promises! { in_memory, memory:
    a_query_answers_with_columns_and_rows
    rows_beyond_the_most_are_left_out
    an_answer_of_too_many_bytes_is_refused
    parameters_are_bound
    parameters_and_values_must_fit
    one_statement_is_one
    a_wrong_statement_says_what_is_wrong
    sources_are_read_by_name
    a_source_that_cannot_be_read_is_named
    an_answer_is_written_and_read_back
    a_statement_ends_at_its_deadline
    a_dropped_work_is_undone
    nothing_outside_is_reached
    a_source_is_read_through_its_name_only
    strange_names_do_no_harm
    sources_have_names_that_sql_tells_apart
    memory_has_a_limit
    every_type_has_its_form
    what_cannot_last_is_refused
}
