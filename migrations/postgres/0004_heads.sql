-- Signed heads: which entries a head marks and which key signed it. Heads are kept as entries are: only a mark as checkpoint
-- may be set on one, and only those below a checkpoint may go.
ALTER TABLE audit_heads ADD COLUMN after_seq BIGINT NOT NULL DEFAULT 0;
ALTER TABLE audit_heads ADD COLUMN marks BYTEA NOT NULL DEFAULT '';
ALTER TABLE audit_heads ADD COLUMN public_key BYTEA NOT NULL DEFAULT '';

CREATE INDEX audit_heads_checkpoints ON audit_heads (tenant, seq) WHERE prunes_below = 1;

CREATE FUNCTION audit_heads_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF NEW.prunes_below = 1 AND NEW.tenant = OLD.tenant AND NEW.seq = OLD.seq AND NEW.hash = OLD.hash AND NEW.at = OLD.at
            AND NEW.signature = OLD.signature AND NEW.after_seq = OLD.after_seq AND NEW.marks = OLD.marks
            AND NEW.public_key = OLD.public_key
        THEN
            RETURN NEW;
        END IF;
        RAISE EXCEPTION 'audit heads cannot be changed';
    END IF;
    IF TG_OP = 'DELETE' AND EXISTS (
        SELECT 1 FROM audit_heads h WHERE h.tenant = OLD.tenant AND h.prunes_below = 1 AND h.seq > OLD.seq
    ) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'audit heads above the last published checkpoint cannot be deleted';
END
$$;

CREATE TRIGGER audit_heads_refuse_change BEFORE UPDATE OR DELETE ON audit_heads
    FOR EACH ROW EXECUTE FUNCTION audit_heads_refuse();

CREATE TRIGGER audit_heads_refuse_truncate BEFORE TRUNCATE ON audit_heads
    FOR EACH STATEMENT EXECUTE FUNCTION audit_heads_refuse();
