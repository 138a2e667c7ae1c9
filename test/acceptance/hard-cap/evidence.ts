/** What a process swears to have done, a line each, on a disk that nobody loses: synced before the next thing happens. */
import { closeSync, fdatasyncSync, openSync, readdirSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";

/** `ending`: so much will be charged. `served`: the client has its answer. `refused`: there was too little money. `probed`: a replica answered. */
export type Fact =
  | {
      kind: "ending" | "served";
      requestId: string;
      userId: string;
      sliceId: string;
      nanos: string;
      home: string;
      /** Of our own time. */
      swornMs: number;
    }
  | { kind: "refused"; userId: string }
  | { kind: "probed" | "stopped"; deploymentId: string; atMs: number };

export interface Witness {
  swear(fact: Fact): void;
  close(): void;
}

export function witness(folder: string): Witness {
  const fd = openSync(join(folder, `${process.pid}-${Date.now()}.log`), "a");
  return {
    swear(fact) {
      writeSync(fd, `${JSON.stringify(fact)}\n`);
      fdatasyncSync(fd);
    },
    close: () => closeSync(fd),
  };
}

/** All facts of all processes; a line that was torn by a kill was never sworn. */
export function factsIn(folder: string): readonly Fact[] {
  return readdirSync(folder).flatMap((name) =>
    readFileSync(join(folder, name), "utf8")
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Fact),
  );
}
