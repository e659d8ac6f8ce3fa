-- Whether a Result counts for its step: 0 whatever it says, 1 since it agrees with the step; from 2 on it is somebody's claim.
ALTER TABLE result ADD COLUMN standing INTEGER NOT NULL DEFAULT 0;
-- When the claim that decides says that it happened, where that cannot be believed.
ALTER TABLE step ADD COLUMN stated_at TEXT;
-- What was declared beside the first correlation id, service and action, as JSON.
ALTER TABLE step ADD COLUMN also TEXT;
-- The last Result that established what the step is (seen_handler, seen_action, seen_correlation_id, job), where that is not declared.
ALTER TABLE step ADD COLUMN terms_us INTEGER;
ALTER TABLE step ADD COLUMN terms_identity TEXT;
-- What counted until now goes on to count, and so does what is still on its way under the same ids.
UPDATE step SET also = (SELECT json_object('ids', json_group_array(DISTINCT result.correlation_id)) FROM result
    WHERE result.step = step.id AND result.correlation_id <> ''
    AND result.correlation_id IS NOT step.correlation_id AND result.correlation_id IS NOT step.seen_correlation_id)
    WHERE id IN (SELECT result.step FROM result JOIN step AS s ON s.id = result.step WHERE result.correlation_id <> ''
    AND result.correlation_id IS NOT s.correlation_id AND result.correlation_id IS NOT s.seen_correlation_id);
UPDATE step SET correlation_id = seen_correlation_id
    WHERE correlation_id IS NULL AND also IS NOT NULL AND seen_correlation_id <> '';
UPDATE step SET also = json_insert(COALESCE(also, '{"ids":[]}'), '$.ids[#]', seen_correlation_id)
    WHERE seen_correlation_id <> '' AND correlation_id IS NOT seen_correlation_id AND correlation_id IS NOT NULL;
