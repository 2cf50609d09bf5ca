/** All commands of `antipode`, and what a wrong command line means. */

import { Command, CommanderError } from "commander";
import { AntipodeError } from "../base/errors.ts";
import { addAuditCommand } from "./commands/audit.ts";
import { addBenchCommand } from "./commands/bench.ts";
import { addChaosCommands } from "./commands/chaos.ts";
import { addDemoCommand } from "./commands/demo.ts";
import { addGuestCommands } from "./commands/guest.ts";
import { addJobCommands } from "./commands/job.ts";
import { addLabCommands } from "./commands/lab.ts";
import { addLinkCommands } from "./commands/link.ts";
import { addPdCommands } from "./commands/pd.ts";
import { addRecoveryPointCommands } from "./commands/recoveryPoint.ts";
import { addRemoteCommands } from "./commands/remote.ts";
import { addContainerCommands, addSiteCommands } from "./commands/site.ts";
import { addVdiskCommands } from "./commands/vdisk.ts";
import { VERSION } from "./version.ts";

/** The program with every command. */
export function createProgram(): Command {
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
  addSiteCommands(program);
  addContainerCommands(program);
  addVdiskCommands(program);
  addPdCommands(program);
  addRecoveryPointCommands(program);
  addRemoteCommands(program);
  addJobCommands(program);
  addLinkCommands(program);
  addChaosCommands(program);
  addGuestCommands(program);
  addAuditCommand(program);
  addDemoCommand(program);
  addBenchCommand(program);
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
