-- What people said to rules that asked, found without a walk through the chain. Few entries are of this kind, so the index costs little.
CREATE INDEX audit_entries_of_decisions ON audit_entries (tenant, seq) WHERE action IN ('transition.approved', 'transition.denied');
