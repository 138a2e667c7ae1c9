/** An engine reads files and prompts that others wrote: it does so as a user that can read nothing else of the host. */
import { StatusError } from "../base/status.ts";

/**
 * Gives up root for `uid` and `gid`, and root's groups with it; the order matters, since only root may do each. Does nothing
 * when the process is not root or the ids are 0. Call it once all code is loaded: the new user may be unable to read it.
 */
export function dropPrivileges(ids: { readonly uid: number; readonly gid: number }): void {
  const { setgroups, setgid, setuid, getuid } = process;
  if (getuid?.() !== 0 || ids.uid === 0) return;
  if (!setgroups || !setgid || !setuid || ids.gid === 0) throw refused();
  setgroups.call(process, []);
  setgid.call(process, ids.gid);
  setuid.call(process, ids.uid);
  if (getuid() !== ids.uid) throw refused();
}

function refused(): StatusError {
  return new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "CONFIG_INVALID",
    message: "The engine can't give up root: it needs a uid and a gid other than 0.",
  });
}
