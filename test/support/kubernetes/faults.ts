/** What a test makes go wrong. */
export interface Faults {
  /** Pulls of images that contain the text fail with this message. */
  failPull(image: string, message: string): void;
  /** Containers of images that contain the text start that much later. */
  delayStart(image: string, delayMs: number): void;
  /** Containers of images that contain the text end at once with the exit code. */
  crash(image: string, exitCode: number): void;
  /** Ends a running container of the pod as the kernel does when memory is short. */
  outOfMemory(podName: string): void;
  /** The node falls silent and its processes die; the cluster finds out by itself. */
  loseNode(name: string): void;
  /** Forgets every fault but lost nodes. */
  mend(): void;
}

export interface FaultState {
  readonly pulls: Map<string, string>;
  readonly delays: Map<string, number>;
  readonly crashes: Map<string, number>;
}

export function createFaultState(): FaultState {
  return { pulls: new Map(), delays: new Map(), crashes: new Map() };
}

/** The value of the first text that the image contains. */
export function faultFor<T>(faults: ReadonlyMap<string, T>, image: string): T | undefined {
  for (const [text, value] of faults) if (image.includes(text)) return value;
  return undefined;
}
