/** Signals to the supervisor itself, which cannot be asked to send them. */

import { AntipodeError } from "../../base/errors.ts";
import { type OpenLab, runStateOf } from "../../lab/index.ts";
import type { Context, Outcome } from "../command.ts";
import { table } from "../output.ts";

export type SignalName = "SIGKILL" | "SIGTERM" | "SIGSTOP" | "SIGCONT";

/** @throws AntipodeError `PROCESS_NOT_FOUND` */
export async function signalGenesis(
  context: Context,
  open: OpenLab,
  signal: SignalName,
): Promise<Outcome> {
  // By its record, not by asking it: a frozen one does not answer.
  const state = await runStateOf(context.world, open);
  const handle = state.kind === "down" ? undefined : state.run.genesis;
  const reached = handle !== undefined && (await context.world.processes.signal(handle, signal));
  if (!reached) throw new AntipodeError("PROCESS_NOT_FOUND", "genesis has no process now");
  return {
    json: { signal, services: [{ id: "genesis", pid: handle.pid }] },
    text: table(["service", "pid", "got"], [["genesis", handle.pid, signal]]),
  };
}
