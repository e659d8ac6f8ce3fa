-- Folders whose names moved. What Results up to a row say below the old name is read as if they said the new one.
CREATE TABLE relocation (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    upto BIGINT NOT NULL,
    old TEXT NOT NULL,
    new TEXT NOT NULL,
    at TEXT NOT NULL
);
-- Roles that write datasets need it from now on.
DO $$
DECLARE role TEXT;
BEGIN
    FOR role IN SELECT DISTINCT CASE grantee WHEN 'PUBLIC' THEN 'PUBLIC' ELSE quote_ident(grantee) END
        FROM information_schema.table_privileges
        WHERE table_schema = current_schema() AND table_name = 'dataset' AND privilege_type = 'UPDATE'
    LOOP
        EXECUTE 'GRANT SELECT, INSERT, UPDATE, DELETE ON relocation TO ' || role;
    END LOOP;
END $$;
