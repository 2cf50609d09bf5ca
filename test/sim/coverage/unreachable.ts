/**
 * Cells and error codes that no run of the simulator reaches, and why that is right. A line here must
 * say where it is tested instead, or why it cannot happen in a simulated world.
 */

import { machines } from "./machines.ts";
import { CELL } from "./observe.ts";

export interface Unreachable {
  readonly what: readonly string[];
  readonly why: string;
}

export const unreachable: readonly Unreachable[] = [
  {
    what: allCellsOf("service"),
    why: "genesis is no part of a simulated world; serviceMachine.test.ts runs every cell",
  },
];

function allCellsOf(machine: string): readonly string[] {
  return machines
    .filter(({ name }) => name === machine)
    .flatMap(({ name, cells }) =>
      Object.entries(cells).flatMap(([state, events]) =>
        Object.keys(events).map((event) => `${CELL}${name} ${state} ${event}`),
      ),
    );
}
