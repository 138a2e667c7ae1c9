/** A process of its own that makes weights be there: reads what from stdin, writes the paths to stdout. */
import { text } from "node:stream/consumers";
import type { TestHub } from "./hub.ts";
import { testCtx, testWeights } from "./weights.ts";

interface Order {
  readonly endpoint: string;
  readonly hosts: readonly string[];
  readonly cacheDir: string;
  readonly source: string;
}

const order: Order = JSON.parse(await text(process.stdin));
const endings: (() => Promise<void> | void)[] = [];
const hub: Pick<TestHub, "endpoint" | "hosts"> = { endpoint: order.endpoint, hosts: order.hosts };
const { weights } = await testWeights({ after: (work) => endings.push(work) }, hub, {
  cacheDir: order.cacheDir,
});
const facts = await weights.resolve(testCtx(), { source: order.source, hfToken: "" });
const paths = await weights.ensure(testCtx(), { facts, hfToken: "" });
process.stdout.write(JSON.stringify(paths));
for (const end of endings) await end();
