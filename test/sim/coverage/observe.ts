/**
 * Sees which cells of state machines are looked up and which errors are made, without a line in
 * production code: a cell becomes a getter that notes and gives what was there; the class of errors
 * gets a parent that notes. Both stay for the rest of the process, and cost nothing that a run sees.
 *
 * A cell counts when it is looked up, an error code when an error of it is made anywhere in the
 * world: in a service, or in what it stands on, which then has refused it something.
 */

import { AntipodeError } from "../../../services/base/errors.ts";
import { type Cells, cellName, machines, outcomesOf } from "./machines.ts";

/** Counters of one run begin with these. */
export const CELL = "cell ";
export const CODE = "code ";

export interface Observation {
  /** What was seen since the beginning or the last take. */
  take(): Readonly<Record<string, number>>;
  /** Sees no more. */
  end(): void;
}

let counts: Map<string, number> | undefined;
/** An error gets its code after its parent has noted it, so it is asked a little later. */
let youngest: AntipodeError | undefined;
let isInstalled = false;

/** Begins to count; one observation at a time. */
export function observeCoverage(): Observation {
  install();
  const mine = new Map<string, number>();
  counts = mine;
  youngest = undefined;
  return {
    take() {
      settleYoungest();
      const seen = Object.fromEntries([...mine].sort(([a], [b]) => (a < b ? -1 : 1)));
      mine.clear();
      return seen;
    },
    end() {
      settleYoungest();
      if (counts === mine) counts = undefined;
    },
  };
}

function note(what: string): void {
  counts?.set(what, (counts.get(what) ?? 0) + 1);
}

function settleYoungest(): void {
  if (youngest !== undefined) note(`${CODE}${youngest.code}`);
  youngest = undefined;
}

function install(): void {
  if (isInstalled) return;
  isInstalled = true;
  for (const { name, cells } of machines)
    watchCells(cells, (cell) => {
      note(`${CELL}${cellName(name, ...cell)}`);
    });
  watchErrors();
}

/** Every cell of the table tells when it is read. */
export function watchCells(
  cells: Cells,
  onRead: (cell: readonly [state: string, event: string]) => void,
): void {
  for (const [state, events] of Object.entries(cells))
    for (const [event, outcome] of outcomesOf(events))
      Object.defineProperty(events, event, {
        enumerable: true,
        get() {
          onRead([state, event]);
          return outcome;
        },
      });
}

function born(error: Error): void {
  if (error instanceof AntipodeError) youngest = error;
}

/** `super()` of a class calls whatever its prototype is then. */
function watchErrors(): void {
  class Noted extends Error {
    constructor(message?: string, options?: ErrorOptions) {
      super(message, options);
      settleYoungest();
      born(this);
    }
  }
  Object.setPrototypeOf(AntipodeError, Noted);
}
