
-- kind: 0 the step read the dataset, 1 it wrote it and what was in it is gone, 2 it added to it.
-- seen_us: when the step began that read it, or when a Result said that it was written.
CREATE TABLE flow (
    dataset INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    seen_us INTEGER NOT NULL,
    result INTEGER NOT NULL,
    position INTEGER NOT NULL,
    step INTEGER NOT NULL,
    at_us INTEGER NOT NULL,
    version TEXT,
    row_count INTEGER,
    bytes INTEGER,
    PRIMARY KEY (dataset, kind, seen_us, result, position)
) STRICT, WITHOUT ROWID;
INSERT INTO flow SELECT dataset,
    CASE WHEN direction = 0 THEN 0 WHEN json_extract(edge.metadata, '$.operation') IN ('insert', 'append') THEN 2 ELSE 1 END,
    CASE WHEN direction = 0 THEN COALESCE(started_us, edge.at_us) ELSE edge.at_us END,
    result, position, step, edge.at_us, version, row_count, bytes FROM edge JOIN step ON step.id = edge.step;
DROP TABLE edge;
ALTER TABLE flow RENAME TO edge;
CREATE INDEX edge_step ON edge (step, kind);
-- What an output was made from, where its Result says so.
CREATE TABLE pair (
    step INTEGER NOT NULL,
    output INTEGER NOT NULL,
    input INTEGER NOT NULL,
    result INTEGER NOT NULL,
    at_us INTEGER NOT NULL,
    -- Whether the step made the input itself.
    is_own INTEGER NOT NULL,
    PRIMARY KEY (step, output, input, result)
) STRICT, WITHOUT ROWID;
-- Inputs, outputs and executions of a body that is large.
ALTER TABLE result ADD COLUMN lineage TEXT;
ALTER TABLE result DROP COLUMN executions;
-- Results that are still to be told to others.
CREATE TABLE outbox (
    result INTEGER PRIMARY KEY,
    -- Who tells it, and until when it is theirs.
    taken_by TEXT,
    taken_until_ms INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX outbox_taken ON outbox (taken_by) WHERE taken_by IS NOT NULL;
CREATE INDEX result_at ON result (at_us);
-- Which requests were answered, for fabrics that keep no answers themselves. The key is a SHA-256 of service and key.
CREATE TABLE answer (
    key TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    owner TEXT NOT NULL,
    busy_until_ms INTEGER NOT NULL,
    answer TEXT,
    at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX answer_at ON answer (at_ms);
