CREATE SEQUENCE job_seq;
CREATE SEQUENCE step_seq;
CREATE SEQUENCE result_seq;
CREATE SEQUENCE event_seq;
CREATE TABLE job (
    id BIGINT PRIMARY KEY DEFAULT nextval('job_seq'),
    job_id TEXT NOT NULL UNIQUE,
    declared BIGINT NOT NULL DEFAULT 0,
    pipeline TEXT,
    environment TEXT,
    namespace TEXT,
    logic_version TEXT,
    request TEXT NOT NULL DEFAULT '{}',
    parameters TEXT NOT NULL DEFAULT '{}',
    dag_run_id TEXT,
    metadata TEXT NOT NULL DEFAULT '{}',
    expected_steps BIGINT,
    -- What update_job said; the steps decide where it is null.
    said TEXT,
    said_at TEXT,
    error TEXT,
    created_at TEXT NOT NULL,
    created_us BIGINT NOT NULL,
    -- How far its steps are, kept with every change of a step.
    steps_begun BIGINT NOT NULL DEFAULT 0,
    steps_ended BIGINT NOT NULL DEFAULT 0,
    steps_failed BIGINT NOT NULL DEFAULT 0,
    ended_us BIGINT,
    ended_at TEXT
);
CREATE INDEX job_created ON job (created_us);
CREATE INDEX job_pipeline ON job (pipeline, created_us);
CREATE INDEX job_dag_run ON job (dag_run_id) WHERE dag_run_id IS NOT NULL;
CREATE TABLE step (
    id BIGINT PRIMARY KEY DEFAULT nextval('step_seq'),
    step_id TEXT NOT NULL UNIQUE,
    job BIGINT,
    declared BIGINT NOT NULL DEFAULT 0,
    step_name TEXT,
    handler_type TEXT,
    action TEXT,
    correlation_id TEXT,
    metadata TEXT NOT NULL DEFAULT '{}',
    -- The claim that decides, and what it says.
    status TEXT NOT NULL DEFAULT 'pending',
    rank BIGINT NOT NULL DEFAULT -1,
    at_us BIGINT NOT NULL DEFAULT 0,
    at TEXT,
    identity TEXT NOT NULL DEFAULT '',
    error TEXT,
    duration_ms BIGINT,
    seen_handler TEXT,
    seen_action TEXT,
    seen_correlation_id TEXT,
    started_us BIGINT,
    started_at TEXT
);
CREATE INDEX step_job ON step (job);
CREATE TABLE result (
    id BIGINT PRIMARY KEY DEFAULT nextval('result_seq'),
    -- The SHA-256 of the body as it was published.
    identity BYTEA NOT NULL UNIQUE,
    correlation_id TEXT NOT NULL,
    step BIGINT,
    status TEXT NOT NULL,
    at_us BIGINT NOT NULL,
    recorded_at TEXT NOT NULL,
    -- Inputs, outputs and executions of a body that is large.
    lineage TEXT,
    body TEXT NOT NULL
);
CREATE INDEX result_at ON result (at_us);
CREATE INDEX result_correlation ON result USING hash (correlation_id);
CREATE INDEX result_step ON result (step) WHERE step IS NOT NULL;
CREATE TABLE dataset (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- The SHA-256 of the printed location: an index entry may not be as long as a location may.
    key BYTEA NOT NULL UNIQUE,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    -- The printed location, backwards: short names are found by how a location ends.
    backwards TEXT COLLATE "C" NOT NULL
);
CREATE INDEX dataset_backwards ON dataset (left(backwards, 400));
-- kind: 0 the step read the dataset, 1 it wrote it and what was in it is gone, 2 it added to it.
-- seen_us: when the step began that read it, or when a Result said that it was written.
CREATE TABLE edge (
    dataset BIGINT NOT NULL,
    kind BIGINT NOT NULL,
    seen_us BIGINT NOT NULL,
    result BIGINT NOT NULL,
    position BIGINT NOT NULL,
    step BIGINT NOT NULL,
    at_us BIGINT NOT NULL,
    version TEXT,
    row_count BIGINT,
    bytes BIGINT
);
CREATE INDEX edge_near ON edge (dataset, kind, seen_us);
CREATE INDEX edge_step ON edge (step);
-- What an output was made from, where its Result says so.
CREATE TABLE pair (
    step BIGINT NOT NULL,
    output BIGINT NOT NULL,
    input BIGINT NOT NULL,
    result BIGINT NOT NULL,
    at_us BIGINT NOT NULL,
    -- Whether the step made the input itself.
    is_own BOOLEAN NOT NULL
);
CREATE INDEX pair_step ON pair (step);
CREATE TABLE event (
    id BIGINT PRIMARY KEY DEFAULT nextval('event_seq'),
    identity TEXT NOT NULL UNIQUE,
    type TEXT NOT NULL,
    correlation_id TEXT NOT NULL,
    recorded_at TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX event_correlation ON event USING hash (correlation_id);
-- Results that are still to be told to others.
CREATE TABLE outbox (
    result BIGINT PRIMARY KEY,
    -- Who tells it, and until when it is theirs.
    taken_by TEXT,
    taken_until_ms BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX outbox_taken ON outbox (taken_by) WHERE taken_by IS NOT NULL;
-- Which requests were answered, for fabrics that keep no answers themselves. The key is a SHA-256 of service and key.
CREATE TABLE answer (
    key TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    owner TEXT NOT NULL,
    busy_until_ms BIGINT NOT NULL,
    answer TEXT,
    at_ms BIGINT NOT NULL
);
CREATE INDEX answer_at ON answer (at_ms);
