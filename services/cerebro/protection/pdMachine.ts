/**
 * Which operations a protection domain allows in which state, as one total table. SPEC.md beside
 * this file explains the cells and numbers the invariants. Pure: the caller writes the outcome in a
 * guarded transaction.
 */

import { AntipodeError, type ErrorCode } from "../../base/errors.ts";
import type { PdRecord, PdState } from "../state/records.ts";

/** What somebody wants to do with a protection domain. */
export type PdEvent =
  | "protect"
  | "unprotect"
  | "cut"
  | "replicate"
  /** A recovery point arrives from a site that is at our generation or below. */
  | "receive"
  /** A recovery point or an order arrives from a site of a higher generation. */
  | "receiveNewer"
  | "activate"
  | "delete";

/** The state afterwards, or the code with which the event is refused. */
export type PdOutcome =
  | { readonly kind: "becomes"; readonly state: PdState }
  | { readonly kind: "refused"; readonly code: ErrorCode };

const becomes = (state: PdState): PdOutcome => ({ kind: "becomes", state });
const refused = (code: ErrorCode): PdOutcome => ({ kind: "refused", code });

/** Every state and event; a new one does not compile until its cells are filled. */
export const pdTable: Readonly<Record<PdState, Readonly<Record<PdEvent, PdOutcome>>>> = {
  active: {
    protect: becomes("active"),
    unprotect: becomes("active"),
    cut: becomes("active"),
    replicate: becomes("active"),
    receive: refused("PD_ALREADY_ACTIVE"),
    receiveNewer: becomes("inactive"),
    activate: refused("PD_ALREADY_ACTIVE"),
    delete: becomes("active"),
  },
  inactive: {
    protect: refused("PD_NOT_ACTIVE"),
    unprotect: becomes("inactive"),
    cut: refused("PD_NOT_ACTIVE"),
    replicate: becomes("inactive"),
    receive: becomes("inactive"),
    receiveNewer: becomes("inactive"),
    activate: becomes("active"),
    delete: becomes("inactive"),
  },
};

const what: Readonly<Record<PdEvent, string>> = {
  protect: "protect vDisks in",
  unprotect: "unprotect vDisks of",
  cut: "take a recovery point of",
  replicate: "replicate",
  receive: "receive a recovery point for",
  receiveNewer: "receive a recovery point for",
  activate: "activate",
  delete: "delete",
};

/**
 * The state of a domain after an event.
 * @throws AntipodeError `PD_NOT_ACTIVE` or `PD_ALREADY_ACTIVE` as the table says
 */
export function nextPdState(pd: PdRecord, event: PdEvent): PdState {
  const outcome = pdTable[pd.state][event];
  if (outcome.kind === "becomes") return outcome.state;
  throw new AntipodeError(
    outcome.code,
    `cannot ${what[event]} the protection domain ${pd.name}: it is ${pd.state} here`,
    { pd: pd.name, state: pd.state, generation: pd.generation, sourceSite: pd.sourceSite },
  );
}

/** What a site hears from another about a domain. */
export interface StandingLike {
  readonly state: string;
  readonly generation: number;
}

/** Must this site step back, because another one has been activated later? (P4) */
export function mustYield(own: PdRecord, other: StandingLike): boolean {
  return own.state === "active" && other.state === "active" && other.generation > own.generation;
}
