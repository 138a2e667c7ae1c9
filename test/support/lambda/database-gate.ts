import { silentLog } from "../../../src/base/log.ts";
import { openDatabase } from "../../../src/db/pool.ts";
import { launchGate } from "../../../src/main/launch-gate.ts";
import type { LaunchGate } from "../../../src/providers/lambda/index.ts";
import { type Cleanup, undoAfter } from "../cleanup.ts";

/** The gate that workers really have, with a short pause. */
export function databaseGate(t: Cleanup, url: string): LaunchGate {
  const database = openDatabase({ url, connectionsMax: 2, log: silentLog });
  undoAfter(t, () => database.close());
  return launchGate({ db: database.db, account: "lambda", pauseMs: 50 });
}
