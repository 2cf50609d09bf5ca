/**
 * From a target by role to processes that were really struck: chooses when it strikes, waits for who is
 * just being elected or started, and chooses again when the chosen one was gone before it was reached.
 */

import { AntipodeError, codeOf } from "../base/errors.ts";
import type { Prng } from "../base/prng.ts";
import type { Clock } from "../platform/clock.ts";
import type { Fault } from "./faults.ts";
import { type Condition, chooseTargets, type Target, type View } from "./targets.ts";

/** Longer than genesis takes to start a process anew on a machine that does other things too. */
const PATIENCE_MS = 60_000;
const POLL_MS = 50;

type Aimed = Extract<Fault, { readonly target: Target }>;

export interface AimWorld {
  readonly clock: Clock;
  readonly prng: Prng;
  readonly signal: AbortSignal;
  view(target: Target): Promise<View>;
}

/**
 * Strikes whom the fault means.
 * @param act strikes; `PROCESS_NOT_FOUND` when none of them could be reached
 * @returns ids of the services that were meant
 * @throws AntipodeError `PROCESS_NOT_FOUND` when nobody could be struck within the patience
 */
export async function strikeTarget(
  world: AimWorld,
  fault: Aimed,
  act: (ids: readonly string[]) => Promise<void>,
): Promise<readonly string[]> {
  const { clock, signal } = world;
  const untilMs = clock.now() + PATIENCE_MS;
  for (;;) {
    try {
      const ids = await chosen(world, fault);
      await act(ids);
      return ids;
    } catch (error) {
      if (signal.aborted || clock.now() > untilMs || !mayPass(error)) throw error;
    }
    await clock.sleep(POLL_MS, signal);
  }
}

async function chosen(world: AimWorld, fault: Aimed): Promise<readonly string[]> {
  const condition: Condition = fault.kind === "continue" ? "frozen" : "running";
  const view = await world.view(fault.target);
  const all = chooseTargets(fault.target, view, world.prng, condition);
  const ids = fault.kind === "disk" ? all.filter((id) => /^(stargate|etcd)@/.test(id)) : all;
  if (ids.length === 0)
    throw new AntipodeError("PROCESS_NOT_FOUND", "nothing that runs is meant by it now");
  return ids;
}

/** Nobody there at the moment, or nobody who could say who it is. */
function mayPass(error: unknown): boolean {
  return (
    error instanceof AntipodeError &&
    (codeOf(error) === "PROCESS_NOT_FOUND" || error.retry !== "never")
  );
}
