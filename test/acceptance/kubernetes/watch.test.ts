/** What watches keep of a cluster is the cluster's own word, and young, on a real API server: cut, frozen, too old, refused. */
import assert from "node:assert/strict";
import { after, before, type TestContext, test } from "node:test";
import { kubeApi, type ListOf } from "../../../src/providers/kubernetes/api.ts";
import { kubeClient } from "../../../src/providers/kubernetes/client.ts";
import { credentialsOf } from "../../../src/providers/kubernetes/credentials.ts";
import { MANAGED } from "../../../src/providers/kubernetes/labels.ts";
import { LIST_AGAIN_MS, mirror, STALE_MAX_MS } from "../../../src/providers/kubernetes/mirror.ts";
import { type Meta, metaSchema } from "../../../src/providers/kubernetes/seen.ts";
import { type Cluster, startCluster } from "../../support/kubernetes/cluster.ts";
import { NAMESPACE, REGION } from "../../support/kubernetes/region.ts";
import { until } from "../../support/kubernetes/until.ts";
import { throughWire, wireTo } from "../../support/kubernetes/wire.ts";
import { liveCtx } from "../../support/local-driver.ts";

let cluster: Cluster;
before(async () => {
  cluster = await startCluster();
  await cluster.api.call("POST", "/api/v1/namespaces", { metadata: { name: NAMESPACE } });
});
after(() => cluster?.close());

const PATH = `/api/v1/namespaces/${NAMESPACE}/services`;
const WHAT: ListOf<Meta> = {
  group: "",
  resource: "services",
  schema: metaSchema,
  selector: MANAGED,
  metaOnly: true,
};

async function fixture(t: TestContext, what: ListOf<Meta> = WHAT) {
  const wire = await wireTo(cluster);
  const kubeconfig = await throughWire(cluster.kubeconfigFile, cluster, wire);
  const client = kubeClient(REGION, () => credentialsOf({ kubeconfig }));
  const api = kubeApi(client, REGION, NAMESPACE);
  const counted = { lists: 0, watches: 0 };
  let nowMs = 0;
  const ctx = { ...liveCtx, clock: { ...liveCtx.clock, monotonicMs: () => nowMs } };
  let watchFrom: string | undefined;
  const kept = mirror(
    {
      ...api,
      listAt: (...args) => {
        counted.lists++;
        return api.listAt(...args);
      },
      watch: (of, what, version) => {
        counted.watches++;
        return api.watch(of, what, watchFrom ?? version);
      },
    },
    what,
  );
  t.after(async () => {
    kept.close();
    await client.close();
    await wire.close();
  });
  const names = async () => (await kept.all(ctx)).items.map((one) => one.metadata.name).sort();
  return {
    wire,
    api,
    kept,
    counted,
    ctx,
    names,
    later: (ms: number) => {
      nowMs += ms;
    },
    watchFrom: (version: string | undefined) => {
      watchFrom = version;
    },
  };
}

async function make(t: TestContext, name: string): Promise<void> {
  const metadata = { name, labels: { "app.kubernetes.io/managed-by": "slipway" } };
  await cluster.api.call("POST", PATH, { metadata, spec: { clusterIP: "None" } });
  t.after(() => cluster.api.call("DELETE", `${PATH}/${name}`).catch(() => {}));
}

test("what comes and goes is seen without another list", async (t) => {
  const { names, counted } = await fixture(t);
  await make(t, "first");
  assert.deepEqual(await names(), ["first"]);
  await make(t, "second");
  await until("the second is seen", async () => (await names()).length === 2);
  await cluster.api.call("DELETE", `${PATH}/first`);
  await until("the first is gone", async () => (await names()).join() === "second");
  assert.equal(counted.lists, 1);
});

test("a watch that is cut is no watch: the next look is a list, and later a new watch begins", async (t) => {
  const { names, counted, wire, later } = await fixture(t);
  await names();
  await make(t, "before-the-cut");
  await until("it watches", async () => (await names()).includes("before-the-cut"));
  assert.equal(counted.lists, 1);
  wire.cut();
  await make(t, "after-the-cut");
  await until("it is seen", async () => (await names()).includes("after-the-cut"));
  assert.ok(counted.lists >= 2);
  later(STALE_MAX_MS + 1);
  await names();
  await until("it watches again", async () => counted.watches === 2);
  await make(t, "by-the-second-watch");
  const { lists } = counted;
  await until("it is seen", async () => (await names()).includes("by-the-second-watch"));
  assert.equal(counted.lists, lists);
});

test("a watch that is silent is not believed for longer than the bound", async (t) => {
  const { names, counted, wire, kept, ctx, later } = await fixture(t);
  await names();
  await until("it watches", async () => counted.watches === 1);
  wire.freeze();
  await make(t, "unheard");
  later(STALE_MAX_MS);
  assert.deepEqual(await names(), [], "within the bound it may be behind");
  later(1);
  const before = ctx.clock.now();
  const seen = await kept.all(ctx);
  assert.deepEqual(
    seen.items.map((one) => one.metadata.name),
    ["unheard"],
  );
  assert.ok(seen.at >= before);
});

test("a version that the server has forgotten (410) is only a reason for another list", async (t) => {
  // Of all kinds only events are watched in the store itself, which forgets.
  const events: ListOf<Meta> = { group: "", resource: "events", schema: metaSchema, selector: MANAGED };
  const { names, counted, watchFrom } = await fixture(t, events);
  await tell("before");
  await tell("between");
  await compact(cluster);
  watchFrom("2");
  assert.deepEqual(await names(), ["before", "between"]);
  await until("the watch is refused", async () => {
    await names();
    return counted.lists >= 2;
  });
  assert.equal(counted.watches, counted.lists, "no pause is made after it");
  watchFrom(undefined);
  await tell("after-410");
  await until("it is seen", async () => (await names()).includes("after-410"));
});

async function tell(name: string): Promise<void> {
  const involvedObject = { kind: "Namespace", name: NAMESPACE, namespace: NAMESPACE };
  const metadata = { name, labels: { "app.kubernetes.io/managed-by": "slipway" } };
  const body = { metadata, involvedObject, reason: "Test", message: name, type: "Normal" };
  await cluster.api.call("POST", `/api/v1/namespaces/${NAMESPACE}/events`, body);
}

/** Makes the store forget everything but its newest state. */
async function compact({ etcdUrl }: Cluster): Promise<void> {
  const post = async (path: string, body: object) => {
    const answer = await fetch(`${etcdUrl}${path}`, { method: "POST", body: JSON.stringify(body) });
    assert.equal(answer.status, 200);
    return (await answer.json()) as { header: { revision: string } };
  };
  const { header } = await post("/v3/kv/range", { key: Buffer.from("none").toString("base64") });
  await post("/v3/kv/compaction", { revision: header.revision, physical: true });
}

test("however much is heard, a full list comes again, and mends what a watch missed", async (t) => {
  const { kept, ctx, counted, later } = await fixture(t);
  await make(t, "there");
  await kept.all(ctx);
  await until("it watches", async () => counted.watches === 1);
  for (let passedMs = 0; passedMs <= LIST_AGAIN_MS; passedMs += STALE_MAX_MS) {
    await cluster.api.call(
      "PATCH",
      `${PATH}/there`,
      { metadata: { annotations: { passed: String(passedMs) } } },
      "application/merge-patch+json",
    );
    await until("the change is seen", async () => {
      const [one] = (await kept.all(ctx)).items;
      return one?.metadata.annotations.passed === String(passedMs);
    });
    later(STALE_MAX_MS);
  }
  await kept.all(ctx);
  assert.equal(counted.lists, 2);
});

test("after a write of our own the next look is a list", async (t) => {
  const { kept, ctx, counted } = await fixture(t);
  await kept.all(ctx);
  await kept.all(ctx);
  assert.equal(counted.lists, 1);
  kept.forget();
  await Promise.all([kept.all(ctx), kept.all(ctx)]);
  assert.equal(counted.lists, 2, "those who ask at the same moment share it");
});
