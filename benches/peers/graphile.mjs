// graphile-worker as a contestant of benches/outbox, with the settings that its own page on performance has: jobs fetched in
// batches, completions written in batches. Arguments: see post.mjs.
import { concurrency, post, ready, require, slices, url } from "./post.mjs";

const { Logger, makeWorkerUtils, run } = require("graphile-worker");
const logger = new Logger(() => (level, message) => {
  if (level === "error") console.error(message);
});

const utils = await makeWorkerUtils({ connectionString: url, logger });
await utils.migrate();
for (const jobs of slices()) {
  await utils.addJobs(jobs.map((payload) => ({ identifier: "post", payload })));
}
await utils.release();

await ready();
await run({
  connectionString: url,
  logger,
  noHandleSignals: true,
  taskList: { post: (payload) => post(payload) },
  preset: {
    worker: {
      concurrentJobs: concurrency,
      maxPoolSize: concurrency + 1,
      localQueue: { size: 500 },
      completeJobBatchDelay: 0,
      failJobBatchDelay: 0,
    },
  },
});
