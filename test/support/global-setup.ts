/** One Postgres for a whole `npm test`: each test file clones its database from the template there. */
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import { silentLog } from "../../src/base/log.ts";
import { type EmbeddedPostgres, startEmbedded } from "../../src/db/embedded.ts";

let postgres: EmbeddedPostgres | undefined;
let home = "";

export async function globalSetup(): Promise<void> {
  home = await mkdtemp(join(tmpdir(), "slipway-test-"));
  await chmod(home, 0o755); // the server runs as another user and must be able to enter
  postgres = await startEmbedded({
    home,
    log: silentLog,
    clock: systemClock,
    durable: false,
    connectionsMax: 200,
  });
  process.env.SLIPWAY_TEST_DATABASE = postgres.url("postgres");
}

export async function globalTeardown(): Promise<void> {
  await postgres?.stop();
  await rm(home, { recursive: true, force: true });
}
