/**
 * Which cells and error codes a set of runs has reached, held against the list of those that no run
 * can reach: a listed one that was reached is an error of the list, an unlisted one that was not is a hole.
 */

import { errorTable } from "../../../services/base/errors.ts";
import { cellNames } from "./machines.ts";
import { CELL, CODE } from "./observe.ts";
import { type Unreachable, unreachable } from "./unreachable.ts";

export interface Coverage {
  /** Everything that exists: `cell MACHINE STATE EVENT` and `code CODE`. */
  readonly all: readonly string[];
  readonly reached: readonly string[];
  /** Not reached, and not listed as unreachable. */
  readonly missed: readonly string[];
  /** Not reached, as listed. */
  readonly excused: readonly Unreachable[];
  /** Sentences about a list that is wrong: what it names was reached, or does not exist. */
  readonly wrongs: readonly string[];
}

/** Every cell and code. */
export const everything: readonly string[] = [
  ...cellNames.map((name) => `${CELL}${name}`),
  ...Object.keys(errorTable).map((code) => `${CODE}${code}`),
];

/** @param counters of all runs together */
export function judgeCoverage(
  counters: Readonly<Record<string, number>>,
  list: readonly Unreachable[] = unreachable,
): Coverage {
  const isReached = (what: string): boolean => (counters[what] ?? 0) > 0;
  const listed = new Set(list.flatMap(({ what }) => what));
  const wrongs = [...listed].flatMap((what) => {
    if (!everything.includes(what)) return [`${what} is listed as unreachable but does not exist`];
    return isReached(what) ? [`${what} is listed as unreachable but was reached`] : [];
  });
  return {
    all: everything,
    reached: everything.filter(isReached),
    missed: everything.filter((what) => !isReached(what) && !listed.has(what)),
    excused: list,
    wrongs,
  };
}
