-- Signed heads: which entries a head marks and which key signed it. Heads are kept as entries are: only a mark as checkpoint
-- may be set on one, and only those below a checkpoint may go.
ALTER TABLE audit_heads ADD COLUMN after_seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE audit_heads ADD COLUMN marks BLOB NOT NULL DEFAULT x'';
ALTER TABLE audit_heads ADD COLUMN public_key BLOB NOT NULL DEFAULT x'';

CREATE INDEX audit_heads_checkpoints ON audit_heads (tenant, seq) WHERE prunes_below = 1;

CREATE TRIGGER audit_heads_refuse_update BEFORE UPDATE ON audit_heads
WHEN NEW.prunes_below <> 1 OR NEW.tenant <> OLD.tenant OR NEW.seq <> OLD.seq OR NEW.hash <> OLD.hash OR NEW.at <> OLD.at
    OR NEW.signature <> OLD.signature OR NEW.after_seq <> OLD.after_seq OR NEW.marks <> OLD.marks
    OR NEW.public_key <> OLD.public_key
BEGIN
    SELECT RAISE(ABORT, 'audit heads cannot be changed');
END;

CREATE TRIGGER audit_heads_refuse_delete BEFORE DELETE ON audit_heads
WHEN NOT EXISTS (
    SELECT 1 FROM audit_heads WHERE tenant = OLD.tenant AND prunes_below = 1 AND seq > OLD.seq
)
BEGIN
    SELECT RAISE(ABORT, 'audit heads above the last published checkpoint cannot be deleted');
END;

CREATE TRIGGER audit_heads_refuse_replace BEFORE INSERT ON audit_heads
WHEN EXISTS (SELECT 1 FROM audit_heads WHERE tenant = NEW.tenant AND seq = NEW.seq)
BEGIN
    SELECT RAISE(ABORT, 'audit heads cannot be replaced');
END;
