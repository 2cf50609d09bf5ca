/** The tables of all state machines in services: what runs of the simulator are to reach cell by cell. */

import { pdTable } from "../../../services/cerebro/protection/pdMachine.ts";
import { jobTable } from "../../../services/cerebro/replication/jobMachine.ts";
import { serviceTable } from "../../../services/genesis/serviceMachine.ts";
import { electionTable } from "../../../services/platform/coordination/electionMachine.ts";
import { NbdHandshake } from "../../../services/stargate/nbd/handshake.ts";

/** State → event → what happens. */
export type Cells = Readonly<Record<string, object>>;

export interface Machine {
  readonly name: string;
  readonly cells: Cells;
}

/** A cell with this value is an assertion: a run that reaches it has found a bug. */
const IMPOSSIBLE = "impossible";

export const machines: readonly Machine[] = [
  { name: "job", cells: jobTable },
  { name: "pd", cells: pdTable },
  { name: "election", cells: electionTable },
  { name: "service", cells: serviceTable },
  // One event, bytes that came: the table is one of states.
  { name: "nbd", cells: { bytes: NbdHandshake.readers } },
  { name: "nbd answer", cells: NbdHandshake.answers },
];

/** `job RUNNING shipped`; of all cells that can be reached at all. Taken before anybody watches them. */
export const cellNames: readonly string[] = cellNamesOf(machines);

function cellNamesOf(all: readonly Machine[]): readonly string[] {
  return all.flatMap(({ name, cells }) =>
    Object.entries(cells).flatMap(([state, events]) =>
      outcomesOf(events)
        .filter(([, outcome]) => outcome !== IMPOSSIBLE)
        .map(([event]) => cellName(name, state, event)),
    ),
  );
}

/** Event and outcome of every cell of one state. */
export function outcomesOf(
  events: object,
): readonly (readonly [event: string, outcome: unknown])[] {
  return Object.entries(events);
}

/** The name of one cell, as counters and lists have it. */
export function cellName(machine: string, state: string, event: string): string {
  return `${machine} ${state} ${event}`;
}
