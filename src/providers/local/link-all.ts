import { rename, symlink } from "node:fs/promises";
import { join } from "node:path";

let drafts = 0;

/** Links each name in the folder to its target; put in place at once, since other workers may be doing the same just now. */
export async function linkAll(
  dir: string,
  names: readonly string[],
  targets: readonly string[],
): Promise<void> {
  for (const [index, name] of names.entries()) {
    const draft = join(dir, `${name}.${process.pid}.${drafts++}.draft`);
    await symlink(targets[index] ?? "", draft);
    await rename(draft, join(dir, name));
  }
}
