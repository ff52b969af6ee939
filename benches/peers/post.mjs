// What both queues share: jobs made, and each POSTed with a Standard Webhooks signature over kept connections.
import { createHmac } from "node:crypto";
import { createRequire } from "node:module";

const [modules, url, target, secret, body, run, count] = process.argv.slice(2);

/// Packages are where the benchmark installed them.
export const require = createRequire(`${modules}/package.json`);
export { url };

/// Of each worker process.
export const concurrency = 64;

const key = Buffer.from(secret.replace("whsec_", ""), "base64");
const { origin, pathname: path } = new URL(target);
const { Pool } = require("undici");
const pool = new Pool(origin, { connections: concurrency });

export async function post({ id, body }) {
  const timestamp = Math.floor(Date.now() / 1000);
  const signature = createHmac("sha256", key).update(`${id}.${timestamp}.${body}`).digest("base64");
  const headers = {
    "content-type": "application/json",
    "webhook-id": id,
    "webhook-timestamp": String(timestamp),
    "webhook-signature": `v1,${signature}`,
  };
  const answer = await pool.request({ path, method: "POST", headers, body });
  await answer.body.dump();
  if (answer.statusCode !== 204) throw new Error(`answered ${answer.statusCode}`);
}

/// All jobs in slices of a thousand; ids of this run alone.
export function* slices() {
  const hex = (number) => BigInt(number).toString(16).padStart(16, "0");
  for (let first = 1; first <= Number(count); first += 1000) {
    const jobs = [];
    for (let n = first; n < Math.min(first + 1000, Number(count) + 1); n += 1) {
      const digits = hex(run) + hex(n);
      const id = digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
      jobs.push({ id, body });
    }
    yield jobs;
  }
}

/// Says that everything stands, and waits for the word.
export async function ready() {
  console.log("ready");
  await new Promise((resolve) => process.stdin.once("data", resolve));
}
