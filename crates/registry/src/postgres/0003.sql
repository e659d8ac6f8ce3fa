-- Rows that the step inserted, updated or deleted; row_count is what the dataset has.
ALTER TABLE edge ADD COLUMN rows_changed BIGINT;
-- Until now one number stood for both: of a change made by SQL it was the rows that were changed. PostgreSQL reads no JSON that has a
-- NUL anywhere; the few changes whose answer had one stay as they are.
UPDATE edge SET rows_changed = row_count, row_count = NULL
    WHERE kind <> 0 AND row_count IS NOT NULL
    AND EXISTS (SELECT 1 FROM step WHERE step.id = edge.step AND COALESCE(handler_type, seen_handler) = 'query')
    AND (kind = 2 OR (SELECT CASE WHEN position('\u0000' IN COALESCE(lineage, body)) = 0
            THEN COALESCE(lineage, body)::json #>> ARRAY['outputs', edge.position::text, 'metadata', 'operation'] END
        FROM result WHERE result.id = edge.result) IN ('update', 'delete'));
