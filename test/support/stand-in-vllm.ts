/** A program that is started as vLLM is and prints its lines: `serve MODEL --config FILE --port N …`. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";

const after = (flag: string): string => process.argv[process.argv.indexOf(flag) + 1] ?? "";
const model = after("serve");
const key = (JSON.parse(readFileSync(after("--config"), "utf8")) as { "api-key": string })["api-key"];
const config = JSON.parse(readFileSync(join(model, "config.json"), "utf8")) as { fail?: string };

if (config.fail !== undefined) {
  console.error(config.fail);
  process.exit(1);
}
const storage = /^fs:\/\/localhost:0(.+)$/.exec(process.env.LMCACHE_REMOTE_URL ?? "")?.[1];
if (storage !== undefined) writeFileSync(join(storage, "chunk.data"), "chunk");
const seen = {
  uid: process.getuid?.(),
  files: readdirSync(model).sort(),
  gpus: process.env.CUDA_VISIBLE_DEVICES,
  keyIsVisible: process.argv.join(" ").includes(key) || JSON.stringify(process.env).includes(key),
};
const server = createServer((_request, response) => response.end(JSON.stringify(seen)));
server.listen(Number(after("--port")), after("--host"));
process.once("SIGTERM", () => process.exit(0));
