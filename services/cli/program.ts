/** All commands of `antipode`, and what a wrong command line means. */

import { Command, CommanderError } from "commander";
import { AntipodeError } from "../base/errors.ts";
import { addLabCommands } from "./commands/lab.ts";

const VERSION = "0.1.0";

/** The program with every command. */
export async function createProgram(): Promise<Command> {
  const program = new Command("antipode");
  program
    .description(
      "Rehearse disaster recovery between emulated storage sites: real processes, real block clients, real failures.",
    )
    .version(VERSION)
    .helpCommand(false)
    .showSuggestionAfterError()
    .exitOverride()
    .configureOutput({ writeErr: () => undefined })
    .configureHelp({ sortSubcommands: false, showGlobalOptions: false })
    .addHelpText(
      "after",
      [
        "",
        "A first tour:",
        "  $ antipode lab up",
        "  $ antipode vdisk create disk1 --size 1GiB",
        "  $ antipode pd create gold && antipode pd protect gold disk1",
        "  $ antipode pd snapshot gold && antipode pd replicate gold --to B --wait",
        "  $ antipode chaos kill site@A --stay-dead && antipode pd activate gold --site B",
        "  $ antipode lab down",
      ].join("\n"),
    );
  addLabCommands(program);
  return program;
}

/**
 * What commander threw: "shown" for help and version, which are no failures; an error with our code
 * for a wrong command line; `undefined` for anything else.
 */
export function usageError(error: unknown): "shown" | AntipodeError | undefined {
  if (!(error instanceof CommanderError)) return undefined;
  if (error.exitCode === 0) return "shown";
  if (error.code === "commander.help")
    return new AntipodeError("INVALID_ARGUMENT", "a command is needed; --help lists them");
  return new AntipodeError("INVALID_ARGUMENT", error.message.replace(/^error: /, ""));
}
