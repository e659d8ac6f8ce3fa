-- Of its steps those that were declared: how many there are, and how far they are. A job that has declared as many as it expects has no others.
ALTER TABLE job ADD COLUMN declared_steps INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN declared_begun INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN declared_ended INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN declared_failed INTEGER NOT NULL DEFAULT 0;
UPDATE job SET
    declared_steps = (SELECT COUNT(*) FROM step WHERE step.job = job.id AND step.declared = 1),
    declared_begun = (SELECT COUNT(*) FROM step WHERE step.job = job.id AND step.declared = 1 AND status <> 'pending'),
    declared_ended = (SELECT COUNT(*) FROM step WHERE step.job = job.id AND step.declared = 1 AND rank = 2),
    declared_failed = (SELECT COUNT(*) FROM step WHERE step.job = job.id AND step.declared = 1 AND status = 'failed')
    WHERE id IN (SELECT job FROM step WHERE step.declared = 1);
