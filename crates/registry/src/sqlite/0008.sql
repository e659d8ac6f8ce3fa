-- Tables of engines whose names have no case were several datasets, one for each spelling. One of them gets all edges; the others stay without,
-- since a program of the version before may still know their rows.
CREATE TEMP TABLE spelling AS SELECT id, COALESCE(
    MIN(CASE WHEN name = lower(name) THEN id END) OVER one, MIN(id) OVER one) AS kept FROM dataset
    WHERE namespace GLOB 'duckdb://*' OR namespace GLOB 'redshift://*' OR namespace GLOB 'spark://*'
    OR namespace GLOB 'databricks://*' OR namespace GLOB 'trino://*' OR namespace GLOB 'awsathena://*'
    WINDOW one AS (PARTITION BY namespace, lower(name));
CREATE UNIQUE INDEX temp.spelling_id ON spelling (id);
UPDATE edge SET dataset = (SELECT kept FROM spelling WHERE id = dataset)
    WHERE dataset IN (SELECT id FROM spelling WHERE id <> kept);
UPDATE OR REPLACE pair SET output = COALESCE((SELECT kept FROM spelling WHERE id = output), output),
    input = COALESCE((SELECT kept FROM spelling WHERE id = input), input)
    WHERE output IN (SELECT id FROM spelling WHERE id <> kept) OR input IN (SELECT id FROM spelling WHERE id <> kept);
UPDATE dataset SET name = lower(name),
    backwards = lower(substr(backwards, 1, length(name))) || substr(backwards, length(name) + 1)
    WHERE id IN (SELECT kept FROM spelling) AND name <> lower(name);
DROP TABLE temp.spelling;
