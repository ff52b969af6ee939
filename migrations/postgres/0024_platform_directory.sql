-- What the platform's directory says of an agent: whether it lists the agent as active, and the account's id and name, by which
-- schedules refer to agents, and when the agent's schedule was last read from the platform. Agents of a platform without a directory have none of it.
ALTER TABLE agents ADD COLUMN listed BIGINT NOT NULL DEFAULT 0;
ALTER TABLE agents ADD COLUMN user_id TEXT;
ALTER TABLE agents ADD COLUMN user_name TEXT;
ALTER TABLE agents ADD COLUMN schedule_read_at BIGINT;
