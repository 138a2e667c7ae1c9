/** Starts a cluster, tells where it is, and waits to be killed. */
import { startCluster } from "../../support/kubernetes/cluster.ts";

const { folder, processes } = await startCluster();
process.stdout.write(`${JSON.stringify({ folder, pids: processes.pids() })}\n`);
setInterval(() => {}, 60_000);
