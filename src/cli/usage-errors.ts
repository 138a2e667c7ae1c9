import type { Command, CommanderError } from "commander";
import { EXIT } from "./exit-codes.ts";
import type { CliIo } from "./io.ts";

/** Wrong usage ends every command with the same status, and its words go through the streams that were handed in. */
export function withUsageErrors(command: Command, io: CliIo): void {
  command.exitOverride((error: CommanderError) => io.exit(error.exitCode === 0 ? EXIT.OK : EXIT.USAGE));
  command.configureOutput({
    writeOut: (text) => void io.stdout.write(text),
    writeErr: (text) => void io.stderr.write(text),
  });
  command.showHelpAfterError("(add --help for what it takes)");
  for (const sub of command.commands) withUsageErrors(sub, io);
}
