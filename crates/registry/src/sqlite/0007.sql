-- A write whose operation leaves what was there (merge, update, delete and words that nobody knows) is of kind 2; it was of kind 1.
UPDATE edge SET kind = 2 WHERE kind = 1 AND (SELECT CASE WHEN json_valid(COALESCE(lineage, body))
    THEN lower(json_extract(COALESCE(lineage, body), '$.outputs[' || edge.position || '].metadata.operation')) END
    FROM result WHERE result.id = edge.result)
    NOT IN ('create', 'overwrite', 'replace', 'truncate', 'drop', 'alter', 'rename');
