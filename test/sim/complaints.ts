/**
 * What a run must not leave behind, wherever it came from: a process that ended by a bug, a promise whose
 * failure nobody handled, a log line that calls for a human though nothing that was injected explains it.
 */

import { AntipodeError, messageOf } from "../../services/base/errors.ts";
import type { FaultRecord, Verdict } from "./check/contracts.ts";
import type { World } from "./world/world.ts";

/** A disk that lies: torn, rotten, stale and misdirected sectors. */
const LIES = ["F5", "F7", "F8"];
/** Classes of faults that explain an error in a log: a disk that fails or lies is a human's business. */
const EXPLAINED: Readonly<Record<string, readonly string[]>> = {
  "extents.disk-failed": ["F9", "F10"],
  "extents.egroup-corrupt": [...LIES, "F10"],
  "extents.index-incomplete": [...LIES, "F9", "F10"],
  "oplog.damaged": LIES,
  "oplog.writeFailed": ["F9", "F10"],
  "vdisk.copyDamaged": [...LIES, "F10"],
};

/** Collects rejections that nobody handles; one run at a time in a process. */
export class Rejections {
  readonly errors: unknown[] = [];
  readonly #note = (error: unknown): void => {
    this.errors.push(error);
  };

  constructor() {
    process.on("unhandledRejection", this.#note);
  }

  /** Node tells of them when a turn ends: what is not told yet is waited for. */
  async close(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    process.off("unhandledRejection", this.#note);
  }
}

/** A verdict on each kind; they examine processes, turns and lines. */
export function complaintsOf(
  world: Pick<World, "failures" | "log">,
  rejections: readonly unknown[],
  faults: readonly Pick<FaultRecord, "kind">[],
): readonly Verdict[] {
  const bugs = world.failures.filter(({ error }) => !(error instanceof AntipodeError));
  const lines = unexplained(world, faults);
  return [
    verdictOf(
      "no process finds a bug",
      bugs.map(({ process, error }) => `${process}: ${textOf(error)}`),
    ),
    verdictOf("no failure stays unhandled", rejections.map(textOf)),
    verdictOf("no log calls for a human without a reason", lines),
  ];
}

function unexplained(
  { log }: Pick<World, "log">,
  faults: readonly Pick<FaultRecord, "kind">[],
): readonly string[] {
  const kinds = new Set(faults.map(({ kind }) => kind));
  return log.lines.flatMap(({ level, phrase, fields }) => {
    if (level !== "error" && level !== "fatal") return [];
    const { event } = fields;
    if (EXPLAINED[event]?.some((kind) => kinds.has(kind)) === true) return [];
    const text = Object.entries(fields).map(([name, value]) => `${name} ${textOf(value)}`);
    return [`${level}: ${phrase} (${text.join(", ")})`];
  });
}

function verdictOf(name: string, found: readonly string[]): Verdict {
  const [first] = found;
  if (first === undefined)
    return { promise: "P9", name, verdict: "held", examined: 1, text: "nothing was found" };
  const text = `${found.length} found; ${first}`;
  const witness = {
    kind: "complaint",
    found: { what: first },
    against: { what: "nothing that was injected explains it" },
  };
  return { promise: "P9", name, verdict: "violated", examined: found.length, witness, text };
}

/** With its stack, which says where. */
export function textOf(error: unknown): string {
  if (error instanceof Error) return error.stack ?? error.message;
  return typeof error === "object" && error !== null ? JSON.stringify(error) : messageOf(error);
}
