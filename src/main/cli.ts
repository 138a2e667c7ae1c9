/** `slipway`: the commands that need the host are here; all others speak over the wire (src/cli). */
import { Command } from "commander";
import { addWireCommands } from "../cli/index.ts";
import { addHostCommands } from "./host-commands.ts";
import { processIo } from "./process-io.ts";

const program = new Command("slipway")
  .description("Deploy models, answer requests, keep the books.")
  .showHelpAfterError()
  .enablePositionalOptions();
const io = processIo();
addHostCommands(program);
addWireCommands(program, io);
await program.parseAsync();
