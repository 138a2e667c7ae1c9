import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { writePrivate } from "../installation.ts";

/** What a run leaves for tools and for the next run, in `<home>/quickstart.json`, mode 0600. */
const shape = z.object({
  apiUrl: z.string(),
  gatewayUrl: z.string(),
  adminToken: z.string(),
  userToken: z.string(),
  userId: z.string(),
  modelId: z.string(),
  modelName: z.string(),
  endpoint: z.string(),
  apiKey: z.string(),
  /** The user's own inference key: opens the catalogue and all of the user's models. */
  userKey: z.string(),
});

export type QuickstartState = z.infer<typeof shape>;

const fileOf = (home: string) => join(home, "quickstart.json");

/** The last run's state, or undefined where there is none that can be read. */
export async function readState(home: string): Promise<QuickstartState | undefined> {
  const content = await readFile(fileOf(home), "utf8").catch(() => undefined);
  if (content === undefined) return undefined;
  try {
    return shape.parse(JSON.parse(content));
  } catch {
    return undefined; // written by another version or cut off: the run makes what it needs anew
  }
}

export async function writeState(home: string, state: QuickstartState): Promise<void> {
  await writePrivate(fileOf(home), `${JSON.stringify(state, null, 2)}\n`);
}
