-- Whether the transition that brought a state about was asked for by a person: rules leave such a state alone for a while, also after
-- a restart. Rows from before say no.
ALTER TABLE state_history ADD COLUMN by_person BIGINT NOT NULL DEFAULT 0;
