/**
 * How a command is declared: its words, options and examples, and one function from what was given to
 * what is printed. Everything around it is the same for all: --json, --dir, --site, Ctrl-C, exit codes.
 */

import { type Command, Option } from "commander";
import { AntipodeError } from "../base/errors.ts";
import type { LabWorld, OpenLab } from "../lab/index.ts";
import { createLabWorld, labDirectory } from "./context.ts";
import { failureJson, failureOf, failureText } from "./failure.ts";

/** What a command has to say. */
export interface Outcome {
  /** The one JSON object of --json. */
  readonly json: Readonly<Record<string, unknown>>;
  /** For people. */
  readonly text: string;
  /** Exit code when it is not 0 although the command did its work: a check that did not hold. */
  readonly exit?: number;
}

/** Values of options by their camel-case names. */
export type Options = Readonly<Record<string, string | boolean | readonly string[] | undefined>>;

export interface Context {
  readonly world: LabWorld;
  /** Absolute path of the lab's directory. */
  readonly directory: string;
  readonly options: Options;
  /** Aborts on Ctrl-C. */
  readonly signal: AbortSignal;
  readonly json: boolean;
  /** Opens the lab, which must be running; makes it whole when its genesis is dead. */
  readonly lab: () => Promise<OpenLab>;
  /** A line for people on standard error. */
  readonly tell: (line: string) => void;
}

export interface CommandSpec {
  /** Words after the noun, e.g. `create <name>`. */
  readonly usage: string;
  readonly summary: string;
  /** Explanation below the summary in --help. */
  readonly more?: string;
  readonly options?: readonly (readonly [flags: string, text: string])[];
  /** It works at one site: adds --site. */
  readonly atSite?: boolean;
  /** Without the leading `antipode`. */
  readonly examples: readonly string[];
  readonly run: (context: Context, args: readonly (string | undefined)[]) => Promise<Outcome>;
}

/** Second Ctrl-C within a command that does not end: exit as the shell expects. */
const INTERRUPTED = 130;

/** The noun of a group of commands, e.g. `vdisk`. */
export function addNoun(program: Command, name: string, summary: string): Command {
  return program
    .command(name)
    .summary(summary)
    .description(summary)
    .helpCommand(false)
    .configureHelp(program.configureHelp());
}

/** Adds a command to a noun. */
export function addCommand(noun: Command, spec: CommandSpec): void {
  const { examples } = spec;
  const command = noun
    .command(spec.usage)
    .summary(spec.summary)
    .description(spec.more === undefined ? spec.summary : `${spec.summary}\n\n${spec.more}`);
  for (const [flags, text] of spec.options ?? []) command.addOption(new Option(flags, text));
  if (spec.atSite === true) command.option("--site <name>", "site to ask (default: the first)");
  command
    .option("--dir <directory>", "directory of the lab (default: $ANTIPODE_DIR or .antipode)")
    .option("--json", "print one JSON object")
    .addHelpText(
      "after",
      `\nExamples:\n${examples.map((line) => `  $ antipode ${line}`).join("\n")}`,
    )
    .action(async (...given: unknown[]) => {
      // Commander gives the arguments, then the options, then the command.
      const options = given.at(-2) as Options;
      const args = given.slice(0, -2).flatMap((arg) => arg as string | undefined | string[]);
      process.exitCode = await runCommand(spec, options, args);
    });
}

async function runCommand(
  spec: CommandSpec,
  options: Options,
  args: readonly (string | undefined)[],
): Promise<number> {
  const json = options["json"] === true;
  const tell = (line: string): void => {
    process.stderr.write(`${line}\n`);
  };
  const interrupt = new AbortController();
  let interrupts = 0;
  const onInterrupt = (): void => {
    interrupts += 1;
    if (interrupts > 1) process.exit(INTERRUPTED);
    if (!json) tell("\nantipode: interrupted; ending what was begun. Once more to stop at once.");
    interrupt.abort(new AntipodeError("CANCELLED", "interrupted"));
  };
  process.on("SIGINT", onInterrupt);
  process.on("SIGTERM", onInterrupt);
  try {
    const world = await createLabWorld(tell);
    const { openRunningLab } = await import("../lab/index.ts");
    const directory = labDirectory(options["dir"] as string | undefined);
    const lab = (): Promise<OpenLab> => openRunningLab(world, directory);
    const outcome = await spec.run(
      { world, directory, options, signal: interrupt.signal, json, lab, tell },
      args,
    );
    world.rpc.close();
    process.stdout.write(json ? `${JSON.stringify(outcome.json)}\n` : `${outcome.text}\n`);
    return outcome.exit ?? 0;
  } catch (error) {
    return reportFailure(error, json, interrupts > 0);
  } finally {
    process.off("SIGINT", onInterrupt);
    process.off("SIGTERM", onInterrupt);
  }
}

/** Prints a failure where it belongs; answers with the exit code. */
export function reportFailure(error: unknown, json: boolean, interrupted: boolean): number {
  const failure = failureOf(error);
  if (json) process.stdout.write(`${failureJson(failure)}\n`);
  else if (interrupted) process.stderr.write("antipode: interrupted\n");
  else process.stderr.write(`${failureText(failure)}\n`);
  if (failure.exit === 1 && error instanceof Error && !json)
    process.stderr.write(`${error.stack ?? ""}\n`);
  return interrupted ? INTERRUPTED : failure.exit;
}

/** The value of an option that must be there. */
export function required(options: Options, name: string, flag: string): string {
  const value = options[name];
  if (typeof value === "string" && value !== "") return value;
  throw new AntipodeError("INVALID_ARGUMENT", `${flag} is needed`);
}

/** The value of an option that may be absent. */
export function optional(options: Options, name: string): string | undefined {
  const value = options[name];
  return typeof value === "string" ? value : undefined;
}

/** The values of an option that may be given several times. */
export function repeated(options: Options, name: string): readonly string[] {
  const value = options[name];
  return typeof value === "object" ? value : [];
}
