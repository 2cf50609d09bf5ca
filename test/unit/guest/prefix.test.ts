/** P2: the O(n) prefix check against its definition, by trying every order of small histories. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { checkPrefix, SHOWS_DAMAGE, SHOWS_NOTHING } from "../../../services/guest/prefix.ts";

interface Write {
  readonly slot: number;
  readonly inv: number;
  readonly ack: number;
}

interface Case {
  readonly writes: readonly Write[];
  /** Index of the write each slot shows, or SHOWS_NOTHING. */
  readonly visible: readonly number[];
}

const SLOTS = 3;

function check({ writes, visible }: Case): ReturnType<typeof checkPrefix> {
  return checkPrefix({
    invPosition: writes.map((write) => write.inv),
    ackPosition: writes.map((write) => write.ack),
    pairWrite: writes.map((_, index) => index),
    pairSlot: writes.map((write) => write.slot),
    visible,
  });
}

/**
 * The definition: some set of writes that contains, with each, everything acknowledged before it was
 * issued, applied in some order that respects real time, leaves exactly what is visible.
 */
function isPrefixByDefinition({ writes, visible }: Case): boolean {
  const precedes = (a: number, b: number): boolean => (writes[a]?.ack ?? 0) < (writes[b]?.inv ?? 0);
  const all = writes.map((_, index) => index);
  const extend = (applied: readonly number[], shown: readonly number[]): boolean => {
    const closed = applied.every((b) => all.every((a) => !precedes(a, b) || applied.includes(a)));
    if (closed && shown.every((write, slot) => write === visible[slot])) return true;
    return all.some((next) => {
      if (applied.includes(next)) return false;
      // Whatever must come before it has been applied already.
      if (!all.every((a) => !precedes(a, next) || applied.includes(a))) return false;
      const after = [...shown];
      after[writes[next]?.slot ?? 0] = next;
      return extend([...applied, next], after);
    });
  };
  return extend([], new Array<number>(SLOTS).fill(SHOWS_NOTHING));
}

/** Histories as a writer makes them: one write outstanding a slot, some without an answer. */
const history: fc.Arbitrary<Case> = fc
  .array(fc.record({ slot: fc.nat({ max: SLOTS - 1 }), end: fc.constantFrom("ack", "err") }), {
    maxLength: 6,
  })
  .chain((steps) =>
    fc.tuple(
      fc.constant(steps),
      fc.array(fc.nat({ max: 3 }), { minLength: steps.length, maxLength: steps.length }),
      fc.array(fc.nat(), { minLength: SLOTS, maxLength: SLOTS }),
    ),
  )
  .map(([steps, delays, picks]) => {
    const writes: { slot: number; inv: number; ack: number }[] = [];
    const open: { index: number; left: number; end: string }[] = [];
    let clock = 0;
    const answer = (index: number, end: string): void => {
      const write = writes[index];
      if (write !== undefined && end === "ack") write.ack = ++clock;
    };
    steps.forEach(({ slot, end }, index) => {
      for (const item of [...open]) {
        const busy = writes[item.index]?.slot === slot;
        if (item.left-- > 0 && !busy) continue;
        open.splice(open.indexOf(item), 1);
        answer(item.index, item.end);
      }
      writes.push({ slot, inv: ++clock, ack: Number.POSITIVE_INFINITY });
      open.push({ index, left: delays[index] ?? 0, end });
    });
    for (const item of open) answer(item.index, item.end);
    const visible = picks.map((pick, slot) => {
      const candidates = [SHOWS_NOTHING, ...writes.flatMap((w, i) => (w.slot === slot ? [i] : []))];
      return candidates[pick % candidates.length] ?? SHOWS_NOTHING;
    });
    return { writes, visible };
  });

describe("prefix check (P2)", () => {
  it("agrees with the definition on every small history", () => {
    const seen = { holds: 0, broken: 0 };
    fc.assert(
      fc.property(history, (item) => {
        const verdict = check(item);
        seen[verdict.holds ? "holds" : "broken"] += 1;
        expect(verdict.holds).toBe(isPrefixByDefinition(item));
      }),
      { numRuns: 4000 },
    );
    expect(Math.min(seen.holds, seen.broken)).toBeGreaterThan(200);
  });

  const acked = (slot: number, inv: number, ack: number): Write => ({ slot, inv, ack });

  it("names the pair: a visible write issued after a missing one was acknowledged", () => {
    const writes = [acked(0, 1, 2), acked(1, 3, 4), acked(2, 5, 6)];
    const verdict = check({ writes, visible: [0, SHOWS_NOTHING, 2] });
    expect([verdict.holds, verdict.oldestMissingPair, verdict.newestVisible]).toEqual([
      false,
      1,
      2,
    ]);
    expect([...verdict.included]).toEqual([1, 0, 1]);
  });

  it("takes overlapping writes in either order", () => {
    const writes = [acked(0, 1, 4), acked(1, 2, 3)];
    expect(check({ writes, visible: [0, SHOWS_NOTHING] }).holds).toBe(true);
    expect(check({ writes, visible: [SHOWS_NOTHING, 1] }).holds).toBe(true);
  });

  it("takes an overwritten write as included, and one without answer as never missing", () => {
    const writes = [
      acked(0, 1, 2),
      acked(0, 3, 4),
      acked(1, 5, Number.POSITIVE_INFINITY),
      acked(2, 6, 7),
    ];
    const verdict = check({ writes, visible: [1, SHOWS_NOTHING, 3] });
    expect([verdict.holds, ...verdict.included]).toEqual([true, 1, 1, 0, 1]);
  });

  it("draws no conclusion from a damaged slot", () => {
    const writes = [acked(0, 1, 2), acked(1, 3, 4)];
    const verdict = check({ writes, visible: [SHOWS_DAMAGE, 1] });
    expect([verdict.holds, ...verdict.included]).toEqual([true, 0, 1]);
  });
});
