
CREATE TABLE job (
    id INTEGER PRIMARY KEY,
    job_id TEXT NOT NULL UNIQUE,
    declared INTEGER NOT NULL DEFAULT 0,
    pipeline TEXT,
    environment TEXT,
    namespace TEXT,
    logic_version TEXT,
    request TEXT NOT NULL DEFAULT '{}',
    parameters TEXT NOT NULL DEFAULT '{}',
    dag_run_id TEXT,
    metadata TEXT NOT NULL DEFAULT '{}',
    expected_steps INTEGER,
    -- What update_job said; the steps decide where it is null.
    said TEXT,
    said_at TEXT,
    error TEXT,
    created_at TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    -- How far its steps are, kept with every change of a step.
    steps_begun INTEGER NOT NULL DEFAULT 0,
    steps_ended INTEGER NOT NULL DEFAULT 0,
    steps_failed INTEGER NOT NULL DEFAULT 0,
    ended_us INTEGER,
    ended_at TEXT
) STRICT;
CREATE INDEX job_created ON job (created_us);
CREATE INDEX job_pipeline ON job (pipeline, created_us);
CREATE INDEX job_dag_run ON job (dag_run_id) WHERE dag_run_id IS NOT NULL;
CREATE TABLE step (
    id INTEGER PRIMARY KEY,
    step_id TEXT NOT NULL UNIQUE,
    job INTEGER,
    declared INTEGER NOT NULL DEFAULT 0,
    step_name TEXT,
    handler_type TEXT,
    action TEXT,
    correlation_id TEXT,
    metadata TEXT NOT NULL DEFAULT '{}',
    -- The claim that decides, and what it says.
    status TEXT NOT NULL DEFAULT 'pending',
    rank INTEGER NOT NULL DEFAULT -1,
    at_us INTEGER NOT NULL DEFAULT 0,
    at TEXT,
    is_error INTEGER NOT NULL DEFAULT 0,
    identity TEXT NOT NULL DEFAULT '',
    error TEXT,
    duration_ms INTEGER,
    seen_handler TEXT,
    seen_action TEXT,
    seen_correlation_id TEXT,
    started_us INTEGER,
    started_at TEXT
) STRICT;
CREATE INDEX step_job ON step (job);
CREATE TABLE result (
    id INTEGER PRIMARY KEY,
    -- Hashes of the two texts below. They are random, so that each insert changes another page of their index; an index of
    -- numbers has a fifth of the pages that one of the texts would have.
    identity_key INTEGER NOT NULL,
    correlation_key INTEGER NOT NULL,
    identity TEXT NOT NULL,
    correlation_id TEXT NOT NULL,
    step INTEGER,
    status TEXT NOT NULL,
    at_us INTEGER NOT NULL,
    recorded_at TEXT NOT NULL,
    executions TEXT,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX result_identity ON result (identity_key);
CREATE INDEX result_correlation ON result (correlation_key);
CREATE INDEX result_step ON result (step) WHERE step IS NOT NULL;
CREATE TABLE dataset (
    id INTEGER PRIMARY KEY,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    -- The printed location, backwards: short names are found by how a location ends.
    backwards TEXT NOT NULL,
    UNIQUE (namespace, name)
) STRICT;
CREATE INDEX dataset_backwards ON dataset (backwards);
-- direction: 0 the step read the dataset, 1 it wrote it.
CREATE TABLE edge (
    dataset INTEGER NOT NULL,
    direction INTEGER NOT NULL,
    at_us INTEGER NOT NULL,
    result INTEGER NOT NULL,
    position INTEGER NOT NULL,
    step INTEGER NOT NULL,
    ref_type TEXT NOT NULL,
    format TEXT,
    version TEXT,
    row_count INTEGER,
    bytes INTEGER,
    metadata TEXT,
    PRIMARY KEY (dataset, direction, at_us, result, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX edge_step ON edge (step, direction, result, position);
CREATE TABLE event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    identity_key INTEGER NOT NULL,
    correlation_key INTEGER NOT NULL,
    identity TEXT NOT NULL,
    type TEXT NOT NULL,
    correlation_id TEXT NOT NULL,
    recorded_at TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX event_identity ON event (identity_key);
CREATE INDEX event_correlation ON event (correlation_key);
