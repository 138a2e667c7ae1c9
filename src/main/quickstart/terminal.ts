import { SingleBar } from "cli-progress";

/** Where the quickstart tells what it does: a bar on a terminal, plain lines elsewhere. */
export interface Terminal {
  /** A step that is done or a fact to keep. */
  line(text?: string): void;
  /** Streamed words, without a line end. */
  write(text: string): void;
  /** What is going on now; repeated calls with the same words say nothing new. `share` is 0 to 1 when it is known. */
  progress(step: string, share?: number): void;
  /** The going-on is over. */
  settle(): void;
}

/** A plain line of a long step at most so often, so that a log file stays readable. */
const PLAIN_STEPS = 10;

export function terminalOf(out: NodeJS.WriteStream): Terminal {
  return out.isTTY ? barTerminal(out) : plainTerminal(out);
}

function plainTerminal(out: NodeJS.WriteStream): Terminal {
  let last = "";
  return {
    line: (text = "") => void out.write(`${text}\n`),
    write: (text) => void out.write(text),
    progress(step, share) {
      const tenth = share === undefined ? "" : ` ${Math.floor(share * PLAIN_STEPS) * PLAIN_STEPS} %`;
      if (`${step}${tenth}` === last) return;
      last = `${step}${tenth}`;
      out.write(`  … ${last}\n`);
    },
    settle: () => {
      last = "";
    },
  };
}

function barTerminal(out: NodeJS.WriteStream): Terminal {
  let bar: SingleBar | undefined;
  const settle = () => {
    bar?.stop();
    bar = undefined;
  };
  return {
    line(text = "") {
      settle();
      out.write(`${text}\n`);
    },
    write(text) {
      settle();
      out.write(text);
    },
    progress(step, share) {
      if (!bar) {
        bar = new SingleBar({
          stream: out,
          format: "  {bar} {step}",
          barsize: 24,
          hideCursor: true,
          clearOnComplete: true,
          noTTYOutput: false,
        });
        bar.start(1, 0, { step });
      }
      bar.update(share ?? 0, { step });
    },
    settle,
  };
}
