-- Which person an entry is by: their id as the body writes it. The engine reads it off the body, so that nobody can set it to anything
-- else. A body is RFC 8785 JSON, whose first two keys are `action` and `actor`.
ALTER TABLE audit_entries ADD COLUMN person TEXT GENERATED ALWAYS AS (
    CASE WHEN substr(body, length(action) + 14, 16) = '"actor":"person:'
    THEN substr(body, length(action) + 30, instr(substr(body, length(action) + 30), '"') - 1) END
) VIRTUAL;

CREATE INDEX audit_entries_of_person ON audit_entries (tenant, person, seq) WHERE person IS NOT NULL;
