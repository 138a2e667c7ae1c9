/** Stands in for an engine that spans nodes, started as vLLM is: the leader answers, and tells what it was started with; the others wait. */
import { createServer } from "node:http";

const after = (flag: string): string => process.argv[process.argv.indexOf(flag) + 1] ?? "";
const told = { rank: after("--node-rank"), nodes: after("--nnodes"), leader: after("--master-addr") };
console.log(JSON.stringify({ ...told, headless: process.argv.includes("--headless") }));
if (told.rank === "0") createServer((_request, response) => response.end(JSON.stringify(told))).listen(8_000);
else setInterval(() => {}, 60_000);
process.once("SIGTERM", () => process.exit(0));
