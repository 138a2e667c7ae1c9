import { type GenericFormatter, SingleBar } from "cli-progress";
import type { CliIo } from "./io.ts";
import { plain, plainLine } from "./plain.ts";

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

/** Keeps the columns of a line, which plainLine would close up. */
function oneLine(text: string): string {
  return `${plain(text).replace(/\n+/g, " ").trimEnd()}\n`;
}

export function progressOf(io: CliIo): Progress {
  return io.isTty.stderr ? barProgress(io) : plainProgress(io);
}

function plainProgress(io: CliIo): Progress {
  let last = "";
  return {
    line: (text) => void io.stderr.write(oneLine(text)),
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
      io.stderr.write(oneLine(text));
    },
    update(step, share) {
      if (!bar) {
        bar = new SingleBar({
          stream: io.stderr,
          format: drawn,
          hideCursor: true,
          clearOnComplete: true,
          // The process must end when the work does, not when the bar's timer does.
          gracefulExit: false,
        });
        bar.start(1, 0, { text: barText(step, share) });
      }
      bar.update(share ?? 0, { text: barText(step, share) });
    },
    end,
  };
}

const drawn: GenericFormatter = (_options, _params, payload: { readonly text: string }) => payload.text;

const BAR_LENGTH = 24;

/** A bar where the share is known, else the words alone: an empty bar would tell a lie. */
function barText(step: string, share: number | undefined): string {
  if (share === undefined) return `… ${plainLine(step)}`;
  const filled = Math.round(Math.min(1, Math.max(0, share)) * BAR_LENGTH);
  return `${"█".repeat(filled)}${"░".repeat(BAR_LENGTH - filled)} ${Math.floor(share * 100)} %  ${plainLine(step)}`;
}
