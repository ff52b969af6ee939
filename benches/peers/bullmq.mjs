// BullMQ as a contestant of benches/outbox: jobs added in bulk, one worker with many at once. Arguments: see post.mjs.
import { concurrency, post, ready, require, slices, url } from "./post.mjs";

const { Queue, Worker } = require("bullmq");
const { hostname: host, port } = new URL(url);
const connection = { host, port: Number(port), maxRetriesPerRequest: null };

const queue = new Queue("webhooks", { connection });
await queue.waitUntilReady();
for (const jobs of slices()) {
  await queue.addBulk(jobs.map((data) => ({ name: "post", data })));
}
await queue.close();

// What is done is let go at once, which costs it less than a list that grows.
const options = { connection, concurrency, autorun: false, removeOnComplete: { count: 0 } };
const worker = new Worker("webhooks", (job) => post(job.data), options);
worker.on("failed", (_, error) => console.error(error));
await worker.waitUntilReady();
await ready();
worker.run();
