-- Rows that the step inserted, updated or deleted; row_count is what the dataset has.
ALTER TABLE edge ADD COLUMN rows_changed INTEGER;
-- Until now one number stood for both: of a change made by SQL it was the rows that were changed.
UPDATE edge SET rows_changed = row_count, row_count = NULL
    WHERE kind <> 0 AND row_count IS NOT NULL
    AND EXISTS (SELECT 1 FROM step WHERE step.id = edge.step AND COALESCE(handler_type, seen_handler) = 'query')
    AND (kind = 2 OR (SELECT json_extract(COALESCE(lineage, body), '$.outputs[' || edge.position || '].metadata.operation')
        FROM result WHERE result.id = edge.result) IN ('update', 'delete'));
