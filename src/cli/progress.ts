import { SingleBar } from "cli-progress";
import type { CliIo } from "./io.ts";
import { plainLine } from "./plain.ts";

/** What is going on while the user waits: a bar on a terminal, plain lines elsewhere. All of it goes to stderr. */
export interface Progress {
  /** Something that happened and stays on the screen. */
  line(text: string): void;
  /** What goes on now; `share` is 0 to 1 where it is known. */
  update(step: string, share: number | undefined): void;
  /** The waiting is over. */
  end(): void;
}

/** Without a terminal a step is told again at most at each tenth of it, so that a log stays short. */
const TENTHS = 10;

export function progressOf(io: CliIo): Progress {
  return io.isTty.stderr ? barProgress(io) : plainProgress(io);
}

function plainProgress(io: CliIo): Progress {
  let last = "";
  return {
    line: (text) => void io.stderr.write(`${plainLine(text)}\n`),
    update(step, share) {
      const told = share === undefined ? step : `${step} ${Math.floor(share * TENTHS) * TENTHS} %`;
      if (told === last) return;
      last = told;
      io.stderr.write(`… ${plainLine(told)}\n`);
    },
    end: () => {},
  };
}

function barProgress(io: CliIo): Progress {
  let bar: SingleBar | undefined;
  const end = () => {
    bar?.stop();
    bar = undefined;
  };
  return {
    line(text) {
      end();
      io.stderr.write(`${plainLine(text)}\n`);
    },
    update(step, share) {
      const shown = { step: plainLine(step) };
      if (!bar) {
        bar = new SingleBar({
          stream: io.stderr,
          format: "{bar} {step}",
          barsize: 24,
          hideCursor: true,
          clearOnComplete: true,
          // The process must end when the work does, not when the bar's timer does.
          gracefulExit: false,
        });
        bar.start(1, 0, shown);
      }
      bar.update(share ?? 0, shown);
    },
    end,
  };
}
