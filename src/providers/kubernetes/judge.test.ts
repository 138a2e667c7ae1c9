import assert from "node:assert/strict";
import { test } from "node:test";
import { judge, type Sight } from "./judge.ts";
import { metaSchema, type Pod, podSchema, quantity, workloadSchema } from "./seen.ts";

const META = { name: "p", creationTimestamp: "2026-01-01T00:00:00Z" };
const workload = workloadSchema.parse({ metadata: META });

function pod(change: { metadata?: object; spec?: object; status?: object }): Pod {
  return podSchema.parse({
    metadata: { ...META, ...change.metadata },
    spec: change.spec,
    status: change.status,
  });
}

function doing(...pods: Pod[]) {
  const sight: Sight = { region: "a", at: new Date(), secret: undefined, workload, pods };
  return judge(sight).doing;
}

const engine = (status: object) => ({
  spec: { nodeName: "n1", containers: [{ name: "engine", image: "vllm:1" }] },
  status: { podIP: "10.0.0.7", containerStatuses: [{ name: "engine", ...status }] },
});

test("the scheduler's count becomes a sentence, with what it says of the others", () => {
  const message =
    "0/3 nodes are available: 1 node(s) had untolerated taint {a: b}, 2 Insufficient nvidia.com/gpu. preemption: 0/3 nodes are available";
  const waiting = pod({
    metadata: { annotations: { "slipway.dev/wants": "2 × nvidia.com/gpu" } },
    status: { conditions: [{ type: "PodScheduled", status: "False", reason: "Unschedulable", message }] },
  });
  assert.equal(
    doing(waiting).detail,
    "waits for 2 × nvidia.com/gpu in region a: 0 of 3 nodes have it free (1 node(s) had untolerated taint {a: b}, 2 Insufficient nvidia.com/gpu)",
  );
});

test("a pod goes from its node over its start to up", () => {
  assert.equal(
    doing(pod(engine({ state: { waiting: { reason: "ContainerCreating" } } }))).phase,
    "provisioning",
  );
  assert.equal(doing(pod(engine({ state: { running: {} }, started: false }))).phase, "loading");
  assert.equal(doing(pod(engine({ state: { running: {} }, started: true }))).phase, "unknown");
  const up = doing(pod(engine({ state: { running: {} }, started: true, ready: true })));
  assert.deepEqual(up, { phase: "up", address: { host: "10.0.0.7", port: 8000 } });
});

test("an engine that ended stays gone, also while the kubelet starts it again", () => {
  const end = { terminated: { reason: "Error", exitCode: 137 } };
  for (const status of [
    { state: end },
    { state: { waiting: { reason: "CrashLoopBackOff" } }, lastState: end },
    { state: { running: {} }, started: true, ready: true, restartCount: 1, lastState: end },
  ]) {
    const { phase, failure } = doing(pod(engine(status)));
    assert.equal(phase, "gone");
    assert.match(failure?.message ?? "", /signal 9/);
  }
});

test("a lost node leaves its replica unknown, and a pod that follows speaks for it", () => {
  const lost = engine({ state: { running: {} }, ready: true, started: true });
  const conditions = [{ type: "Ready", status: "Unknown", reason: "NodeStatusUnknown" }];
  assert.equal(doing(pod({ ...lost, status: { ...lost.status, conditions } })).phase, "unknown");
  const going = pod({ ...lost, metadata: { deletionTimestamp: "2026-01-02T00:00:00Z" } });
  const next = pod({ metadata: { name: "q", creationTimestamp: "2025-01-01T00:00:00Z" } });
  assert.equal(doing(going, next).phase, "provisioning");
});

test("a quota that is used up, and rules that refuse the pod, are different failures", () => {
  const refused = (message: string) =>
    judge({
      region: "a",
      at: new Date(),
      secret: undefined,
      pods: [],
      workload: {
        ...workload,
        status: { conditions: [{ type: "ReplicaFailure", status: "True", reason: "", message }] },
      },
    }).doing.failure;
  assert.equal(refused("exceeded quota: gpus")?.reason, "CAPACITY_SHORT");
  assert.equal(refused("violates PodSecurity")?.reason, "CONFIG_INVALID");
});

test("quantities are read as Kubernetes writes them", () => {
  for (const [text, value] of [
    ["500m", 0.5],
    ["64Gi", 64 * 2 ** 30],
    ["8", 8],
    ["1e3", 1_000],
    ["1G", 1e9],
    ["", 0],
    ["x", 0],
  ] as const) {
    assert.equal(quantity(text), value, text);
  }
});

test("what was whole once and lacks its workload was taken away; what was never whole waits for a worker", () => {
  const madeAt = new Date("2026-01-01T00:00:00Z");
  const seen = (annotations: object, laterMs: number) => {
    const secret = metaSchema.parse({ metadata: { ...META, annotations } });
    const at = new Date(madeAt.getTime() + laterMs);
    return judge({ region: "a", at, secret, workload: undefined, pods: [] }).doing;
  };
  const made = { "slipway.dev/made-at": madeAt.toISOString() };
  assert.equal(seen({}, 60_000).detail, "waiting for a worker");
  assert.equal(seen(made, 4_000).phase, "provisioning", "lists of one look are not of one moment");
  const gone = seen(made, 5_000);
  assert.equal(gone.failure?.reason, "PLACE_UNAVAILABLE");
  assert.equal(gone.failure.retryable, true);
});
