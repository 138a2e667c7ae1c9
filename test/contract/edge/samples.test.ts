import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { edge, METHODS, TOKEN } from "./fixture.ts";
import { sample } from "./sample.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const CLIENT = join(ROOT, "src/client/index.ts");
const run = promisify(execFile);

interface Operation {
  readonly operationId: string;
  readonly "x-code-samples": readonly { readonly lang: string; readonly source: string }[];
}

/** The samples of one language, by the operation that they show. */
async function samplesIn(lang: string): Promise<ReadonlyMap<string, string>> {
  const text = await readFile(join(ROOT, "gen/openapi.json"), "utf8");
  const { paths } = JSON.parse(text) as { paths: Record<string, Record<string, Operation>> };
  const operations = Object.values(paths).flatMap((verbs) => Object.values(verbs));
  return new Map(
    operations.map((operation) => {
      const found = operation["x-code-samples"].find((one) => one.lang === lang);
      assert.ok(found, `${operation.operationId} has no sample in ${lang}`);
      return [operation.operationId, found.source];
    }),
  );
}

/** An edge that answers every method, and tells which were called. */
async function answering(t: TestContext) {
  const called: string[] = [];
  const { server } = edge(t, {
    handlers: {
      unary(method) {
        called.push(`${method.parent.name}_${method.name}`);
        return sample(method.output);
      },
      async *stream(method) {
        called.push(`${method.parent.name}_${method.name}`);
        yield sample(method.output);
      },
    },
  });
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  return { called, env: { SLIPWAY_API_URL: `http://127.0.0.1:${port}`, SLIPWAY_TOKEN: TOKEN } };
}

test("every operation's curl example runs as it is and reaches that operation", async (t) => {
  const { called, env } = await answering(t);
  const samples = await samplesIn("bash");
  // One shell for all: each sample still is a program of its own lines.
  const script = [...samples.values()].join("\n");
  const { stdout } = await run("bash", ["-c", script], { env: { ...env, PATH: process.env.PATH } });
  const reached = [...samples.keys()].map((operation) => operation.replace(/\d$/, ""));
  assert.deepEqual(called, reached, stdout);
  assert.ok(samples.size >= METHODS.length);
});

test("every operation's TypeScript example has right types, runs as it is and reaches that operation", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "slipway-samples-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const { called, env } = await answering(t);
  const samples = await samplesIn("typescript");
  Object.assign(process.env, env);
  t.after(() => {
    for (const name of Object.keys(env)) delete process.env[name];
  });
  t.mock.method(console, "log", () => undefined);
  for (const [operation, source] of samples) {
    const file = join(folder, `${operation}.ts`);
    await writeFile(file, source.replace('"slipway/client"', JSON.stringify(CLIENT)));
    await import(file);
    assert.equal(called.pop(), operation.replace(/\d$/, ""), source);
  }
  await typesHold(folder);
});

async function typesHold(folder: string): Promise<void> {
  await symlink(join(ROOT, "node_modules"), join(folder, "node_modules"));
  const compilerOptions = {
    incremental: false,
    tsBuildInfoFile: null,
    rewriteRelativeImportExtensions: false,
  };
  const config = { extends: join(ROOT, "tsconfig.json"), compilerOptions, include: ["*.ts"] };
  await writeFile(join(folder, "tsconfig.json"), JSON.stringify(config));
  await writeFile(join(folder, "package.json"), JSON.stringify({ type: "module" }));
  await run(process.execPath, [join(ROOT, "node_modules/typescript/bin/tsc"), "-p", folder]);
}
