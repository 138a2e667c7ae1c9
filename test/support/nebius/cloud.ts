/** What the fake cloud remembers, and how its groups live. Times are real; a test that waits for minutes makes groups older instead. */
import { create } from "@bufbuild/protobuf";
import { anyPack, timestampFromDate } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { type Status, StatusSchema } from "../../../gen/google/rpc/status_pb.js";
import {
  type Operation,
  OperationSchema,
  RecurrentResourceEventSchema,
  ResourceEvent_Level,
  ResourceMetadataSchema,
  type ServiceError,
  ServiceErrorSchema,
} from "../../../gen/nebius/common/v1/common_pb.js";
import {
  type CreateNodeGroupRequest,
  type NodeGroup,
  NodeGroupSchema,
  NodeGroupStatus_State,
  NodeGroupStatusSchema,
  ProgressDataSchema,
} from "../../../gen/nebius/mk8s/v1/mk8s_pb.js";

/** A machine of a group, for whoever makes it a node of a cluster. */
export interface FakeMachine {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly taints: readonly { readonly key: string; readonly value: string; readonly effect: "NoSchedule" }[];
  readonly gpuCount: number;
}

export interface Machines {
  start(machine: FakeMachine): Promise<void>;
  end(name: string): Promise<void>;
}

/** What goes wrong with creates from now on. */
export interface CreateFaults {
  /** Refused at once. */
  refuse?: "quota" | "no-machine" | undefined;
  /** Accepted, and then no machine comes; the cloud says why, or says nothing. */
  starve?: "quota" | "no-machine" | "silent" | undefined;
  /** Accepted, then the operation fails and the group is gone. */
  fail?: "no-machine" | undefined;
  /** Machines come only when this is over. */
  hold?: boolean;
  /** Reads show only these groups. */
  shown?: ReadonlySet<string> | undefined;
  /** So many calls have their effect, and their answers are lost. */
  loseReplies: number;
}

export interface Cloud {
  readonly faults: CreateFaults;
  /** Creates that had an effect, by name of group. */
  readonly created: string[];
  create(request: CreateNodeGroupRequest, key: string): Operation;
  remove(id: string, key: string): Operation;
  byName(name: string): NodeGroup | undefined;
  all(): readonly NodeGroup[];
  operationsOf(id: string): readonly Operation[];
  /** Takes a group away behind everybody's back. */
  lose(name: string): Promise<void>;
  /** Makes a group look older. */
  age(name: string, byMs: number): void;
  /** Waits for what is under way and takes everything away. */
  close(): Promise<void>;
}

export function newCloud(machines: Machines, bootMs: number): Cloud {
  const groups = new Map<string, NodeGroup>();
  const operations = new Map<string, Operation>();
  const byKey = new Map<string, Operation>();
  const created: string[] = [];
  const faults: CreateFaults = { loseReplies: 0 };
  const working = new Set<Promise<void>>();
  let count = 0;
  let closed = false;

  const later = (work: () => Promise<void>) => {
    const run = new Promise((resolve) => setTimeout(resolve, bootMs)).then(() =>
      closed ? undefined : work(),
    );
    const kept: Promise<void> = run.then(
      () => void working.delete(kept),
      () => void working.delete(kept),
    );
    working.add(kept);
  };
  const shown = () =>
    [...groups.values()].filter((one) => faults.shown?.has(one.metadata?.name ?? "") ?? true);
  const begin = (resourceId: string): Operation => {
    const id = `operation-${++count}`;
    const operation = create(OperationSchema, { id, resourceId });
    operations.set(id, operation);
    return operation;
  };
  const machinesOf = (group: NodeGroup) =>
    Array.from(
      { length: Number(group.status?.targetNodeCount ?? 0n) },
      (_, index) => `${group.metadata?.name}-${index}`,
    );

  const boot = async (group: NodeGroup, operation: Operation) => {
    while (faults.hold && !closed) await new Promise((resolve) => setTimeout(resolve, 20));
    const { status, spec, metadata } = group;
    const id = metadata?.id ?? "";
    if (!status || !groups.has(id)) return;
    if (faults.fail) {
      operation.status = statusOf(faults.fail);
      groups.delete(id);
      return;
    }
    if (faults.starve) {
      if (faults.starve === "silent") return;
      status.events.push(eventOf(faults.starve));
      operation.progressData = anyPack(
        ProgressDataSchema,
        create(ProgressDataSchema, { problems: [{ stage: "nodes", message: "waits for instances" }] }),
      );
      return;
    }
    const template = spec?.template;
    const gpuCount = Number(/^(\d+)gpu/.exec(template?.resources?.size.value ?? "")?.[1] ?? 0);
    for (const name of machinesOf(group)) {
      const labels = template?.metadata?.labels ?? {};
      const taints = (template?.taints ?? []).map(({ key, value }) => ({
        key,
        value,
        effect: "NoSchedule" as const,
      }));
      await machines.start({ name, labels, taints, gpuCount });
      status.nodeCount += 1n;
      status.readyNodeCount += 1n;
    }
    status.state = NodeGroupStatus_State.RUNNING;
    operation.status = create(StatusSchema, {});
  };

  return {
    faults,
    created,
    create({ metadata, spec }, key) {
      const before = byKey.get(key);
      if (before) return before;
      if ([...groups.values()].some((one) => one.metadata?.name === metadata?.name)) {
        const detail = create(ServiceErrorSchema, { details: { case: "resourceAlreadyExists", value: {} } });
        throw errorOf(Code.AlreadyExists, "the name is taken", detail);
      }
      if (faults.refuse) throw errorOf(Code.ResourceExhausted, "refused", shortage(faults.refuse));
      const id = `mk8snodegroup-${++count}`;
      const group = create(NodeGroupSchema);
      group.metadata = create(ResourceMetadataSchema, { id, createdAt: timestampFromDate(new Date()) });
      Object.assign(group.metadata, {
        name: metadata?.name,
        parentId: metadata?.parentId,
        labels: metadata?.labels,
      });
      group.spec = spec;
      group.status = create(NodeGroupStatusSchema, {
        state: NodeGroupStatus_State.PROVISIONING,
        targetNodeCount: spec?.size.value ?? 0n,
        reconciling: true,
      });
      groups.set(id, group);
      created.push(metadata?.name ?? "");
      const operation = begin(id);
      byKey.set(key, operation);
      later(() => boot(group, operation));
      return operation;
    },
    remove(id, key) {
      const before = byKey.get(key);
      if (before) return before;
      const group = groups.get(id);
      if (!group?.status) throw new ConnectError("no such group", Code.NotFound);
      group.status.state = NodeGroupStatus_State.DELETING;
      const operation = begin(id);
      byKey.set(key, operation);
      later(async () => {
        for (const name of machinesOf(group)) await machines.end(name);
        groups.delete(id);
        operation.status = create(StatusSchema, {});
      });
      return operation;
    },
    byName: (name) => shown().find((one) => one.metadata?.name === name),
    all: () => shown(),
    operationsOf: (id) => [...operations.values()].filter((one) => one.resourceId === id),
    async lose(name) {
      const group = [...groups.values()].find((one) => one.metadata?.name === name);
      if (!group) return;
      groups.delete(group.metadata?.id ?? "");
      for (const machine of machinesOf(group)) await machines.end(machine);
    },
    age(name, byMs) {
      const group = [...groups.values()].find((one) => one.metadata?.name === name);
      if (group?.metadata?.createdAt)
        group.metadata.createdAt = timestampFromDate(new Date(Date.now() - byMs));
    },
    async close() {
      closed = true;
      await Promise.all(working);
    },
  };
}

function shortage(kind: "quota" | "no-machine"): ServiceError {
  if (kind === "quota") {
    const violation = {
      quota: "compute.instance.gpu.h100",
      limit: "8",
      requested: "9",
      message: "quota limit exceeded",
    };
    return create(ServiceErrorSchema, {
      details: { case: "quotaFailure", value: { violations: [violation] } },
    });
  }
  const violation = {
    resourceType: "gpu-h100-sxm",
    requested: "1",
    message: "not enough machines in the zone",
  };
  return create(ServiceErrorSchema, {
    details: { case: "notEnoughResources", value: { violations: [violation] } },
  });
}

function errorOf(code: Code, message: string, detail: ServiceError): ConnectError {
  return new ConnectError(message, code, undefined, [{ desc: ServiceErrorSchema, value: detail }]);
}

function statusOf(kind: "quota" | "no-machine"): Status {
  const details = [anyPack(ServiceErrorSchema, shortage(kind))];
  return create(StatusSchema, { code: Code.ResourceExhausted, message: "no instances", details });
}

function eventOf(kind: "quota" | "no-machine") {
  const at = timestampFromDate(new Date());
  return create(RecurrentResourceEventSchema, {
    firstOccurredAt: at,
    lastOccurrence: {
      occurredAt: at,
      level: ResourceEvent_Level.ERROR,
      code: "InstanceCreateFailed",
      message: "an instance could not be created",
      error: statusOf(kind),
    },
  });
}
