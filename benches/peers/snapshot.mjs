// What a Node service does with a snapshot: parse it whole, keep a map by agent, compare state, queue and instant.
// Arguments: two files with the same agents, read in turn. Prints the median of the milliseconds that one takes.
import { readFileSync } from "node:fs";

const bodies = process.argv.slice(2).map((path) => readFileSync(path));
const seen = new Map();
let changes = 0;

function take(body) {
  const snapshot = JSON.parse(body.toString("utf8"));
  for (const row of snapshot.data) {
    const before = seen.get(row.userId);
    const same =
      before !== undefined &&
      before.state === row.agentState &&
      before.queue === row.queueName &&
      !(row.statusChangedTimestamp > before.changedAt);
    if (!same) {
      seen.set(row.userId, { state: row.agentState, queue: row.queueName, changedAt: row.statusChangedTimestamp });
      changes += 1;
    }
  }
}

const rounds = bodies[0].length > 4_000_000 ? 15 : 400;
const times = [];
for (let round = 0; round < rounds; round += 1) {
  const start = process.hrtime.bigint();
  take(bodies[round % bodies.length]);
  times.push(Number(process.hrtime.bigint() - start) / 1e6);
}
// The first rounds warm the compiler up.
const warm = times.slice(Math.floor(rounds / 3)).sort((a, b) => a - b);
console.log(`${warm[Math.floor(warm.length / 2)].toFixed(2)} ms (${changes} changes seen)`);
