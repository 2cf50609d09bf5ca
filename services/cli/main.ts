#!/usr/bin/env node

/**
 * The `antipode` command. Standard output carries results only; everything else goes to standard
 * error. Exit codes: 0 success, 1 a bug, others by the kind of failure (base/errors.ts `exitCode`).
 */

import { reportFailure } from "./command.ts";
import { createProgram, usageError } from "./program.ts";

// A reader that has seen enough (`antipode … | head`) is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit();
  throw error;
});

try {
  const program = createProgram();
  await program.parseAsync(process.argv);
} catch (error) {
  const usage = usageError(error);
  if (usage === "shown") process.exitCode = 0;
  else process.exitCode = reportFailure(usage ?? error, process.argv.includes("--json"), false);
}
// Whatever still holds the event loop (a connection that lingers) must not hold the shell; what was
// printed leaves first.
process.stdout.write("", () => process.exit());
