-- Tables of engines whose names have no case were several datasets, one for each spelling. Engines change ASCII letters alone.
-- One of them gets all edges; the others stay without, since a program of the version before may still know their rows.
CREATE TEMP TABLE spelling ON COMMIT DROP AS SELECT id, COALESCE(
    MIN(CASE WHEN name = lowered THEN id END) OVER one, MIN(id) OVER one) AS kept, lowered FROM
    (SELECT id, namespace, name, translate(name, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz') AS lowered FROM dataset
    WHERE namespace ~ '^(duckdb|redshift|spark|databricks|trino|awsathena)://') AS named
    WINDOW one AS (PARTITION BY namespace, lowered);
UPDATE edge SET dataset = kept FROM spelling WHERE spelling.id = dataset AND kept <> spelling.id;
UPDATE pair SET output = kept FROM spelling WHERE spelling.id = output AND kept <> spelling.id;
UPDATE pair SET input = kept FROM spelling WHERE spelling.id = input AND kept <> spelling.id;
UPDATE dataset SET name = lowered, backwards = reverse(lowered) || substr(backwards, length(name) + 1),
    key = sha256(convert_to(namespace || '#' || lowered, 'UTF8'))
    FROM spelling WHERE spelling.kept = dataset.id AND spelling.id = dataset.id AND name <> lowered;
