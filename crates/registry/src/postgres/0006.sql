-- A write whose operation leaves what was there (merge, update, delete and words that nobody knows) is of kind 2; it was of kind 1.
-- PostgreSQL reads no JSON with an escaped NUL, which the texts of a Result may hold.
UPDATE edge SET kind = 2 FROM result WHERE result.id = edge.result AND edge.kind = 1
    AND strpos(COALESCE(lineage, body), '"operation"') > 0
    AND lower(replace(COALESCE(lineage, body), '\u0000', '\u0020')::json
        #>> ARRAY['outputs', edge.position::text, 'metadata', 'operation'])
    NOT IN ('create', 'overwrite', 'replace', 'truncate', 'drop', 'alter', 'rename');
