// What a Node service does with a snapshot: parse it whole, keep a map by agent, compare state, queue and instant.
// Arguments: files that are read in turn; after `--first`, one that is read once before. Prints the median of the milliseconds
// that one takes. Both dialects: rows of `data`, or of `agentStates`.
import { readFileSync } from "node:fs";

const paths = process.argv.slice(2);
const first = paths[0] === "--first" ? readFileSync(paths.splice(0, 2)[1]) : null;
const bodies = paths.map((path) => readFileSync(path));
const seen = new Map();
let changes = 0;

function take(body) {
  const snapshot = JSON.parse(body.toString("utf8"));
  const isGuide = snapshot.data !== undefined;
  for (const row of isGuide ? snapshot.data : snapshot.agentStates) {
    const now = isGuide
      ? { agent: row.userId, state: row.agentState, queue: row.queueName, changedAt: row.statusChangedTimestamp }
      : { agent: row.agentId, state: `${row.agentStateId} ${row.outStateId}`, queue: row.skillName, changedAt: row.startDate };
    const before = seen.get(now.agent);
    const same =
      before !== undefined &&
      before.state === now.state &&
      before.queue === now.queue &&
      !(now.changedAt > before.changedAt);
    if (!same) {
      seen.set(now.agent, now);
      changes += 1;
    }
  }
}

const rounds = bodies[0].length > 4_000_000 ? 15 : 400;
const times = [];
if (first) take(first);
for (let round = 0; round < rounds; round += 1) {
  const start = process.hrtime.bigint();
  take(bodies[round % bodies.length]);
  times.push(Number(process.hrtime.bigint() - start) / 1e6);
}
// The first rounds warm the compiler up.
const warm = times.slice(Math.floor(rounds / 3)).sort((a, b) => a - b);
console.log(`${warm[Math.floor(warm.length / 2)].toFixed(2)} ms (${changes} changes seen)`);
