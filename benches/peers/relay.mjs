// A relay of Node on `ws`, as the guides describe it: one message comes from upstream, is parsed, kept as the current state of
// its agent, and sent to every client that is open. Here what comes from upstream is a line of JSON on standard input.
// Argument: where the packages are installed. Prints the address that it listens on.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(`${process.argv[2]}/`);
const WebSocket = require("ws");

const clients = new Set();
const currentState = {};
const wss = new WebSocket.Server({ port: 0, host: "127.0.0.1" });
wss.on("connection", (client) => {
  clients.add(client);
  client.on("close", () => clients.delete(client));
  client.send(JSON.stringify({ type: "snapshot", data: currentState }));
});
wss.on("listening", () => console.log(`127.0.0.1:${wss.address().port}`));

createInterface({ input: process.stdin }).on("line", (line) => {
  const event = JSON.parse(line);
  // The picture that newcomers get does not hold the mark of the measurement.
  currentState[event.agent.id] = event.agent.state;
  const payload = JSON.stringify(event);
  clients.forEach((client) => {
    if (client.readyState === WebSocket.OPEN) {
      client.send(payload);
    }
  });
});
