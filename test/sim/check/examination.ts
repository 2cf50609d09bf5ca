/**
 * Counts what a checker looks at and keeps the first violation, then says the verdict. A check that
 * had nothing to look at is vacuous: it shows nothing, and must not look like one that held.
 */

import type {
  GroupVdisk,
  Instant,
  Verdict,
  Witness,
  WitnessItem,
  WriteRecord,
} from "./contracts.ts";

export class Examination {
  readonly #promise: string;
  readonly #name: string;
  #examined = 0;
  #violations = 0;
  #witness: Witness | undefined;

  /** @param promise `P1` to `P9` */
  constructor(promise: string, name: string) {
    this.#promise = promise;
    this.#name = name;
  }

  examine(count = 1): void {
    this.#examined += count;
  }

  violate(kind: string, found: WitnessItem, against: WitnessItem): void {
    this.#violations += 1;
    this.#witness ??= { kind, found, against };
  }

  /**
   * @param what the things that were counted, in the plural
   * @param vacuousBecause why nothing was shown although things were examined
   */
  conclude(what: string, vacuousBecause?: string): Verdict {
    const examined = this.#examined;
    const head = { promise: this.#promise, name: this.#name, examined };
    const witness = this.#witness;
    if (witness !== undefined) {
      const first = `${witness.kind}: ${witness.found.what}, but ${witness.against.what}`;
      const text = `${this.#violations} violations in ${examined} ${what}; ${first}`;
      return { ...head, verdict: "violated", witness, text };
    }
    if (examined === 0) return { ...head, verdict: "vacuous", text: `there were no ${what}` };
    if (vacuousBecause !== undefined)
      return { ...head, verdict: "vacuous", text: `${examined} ${what}, but ${vacuousBecause}` };
    return { ...head, verdict: "held", text: `${examined} ${what} examined` };
  }
}

/** A moment, as a sentence has it. */
export function atMs(instant: Instant): string {
  return `at ${instant.ms.toFixed(1)} ms`;
}

/** When the write was over for its client, as a place in the run's order. */
export function endOf(write: WriteRecord): number {
  return write.completed?.order ?? Number.POSITIVE_INFINITY;
}

/** Something that happened at a moment, as a witness. */
export function momentItem(what: string, at: Instant): WitnessItem {
  return { what: `${what} ${atMs(at)}`, at };
}

/** A write as a witness, seen in one of its slots. */
export function writeItem(
  write: WriteRecord,
  vdisk: Pick<GroupVdisk, "name">,
  lba = write.lba,
): WitnessItem {
  const told =
    write.completed === undefined ? "never answered" : `${write.outcome} ${atMs(write.completed)}`;
  return {
    what: `write ${write.gseq} to ${vdisk.name} slot ${lba} (issued ${atMs(write.invoked)}, ${told})`,
    vdisk: vdisk.name,
    lba,
    gseq: write.gseq,
    at: write.invoked,
  };
}
