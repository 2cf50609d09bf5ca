/** The model of one direction: order, rate, latency, cuts, fairness, bounds (invariants L1 to L5). */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createPrng } from "../../../services/base/prng.ts";
import { Lane, type LinkSettings, LinkShaper } from "../../../services/wan/linkShaper.ts";

const plain: LinkSettings = { latencyMs: 0, jitterMs: 0, bitsPerSecond: 0, cut: false };
/** 1000 bytes a ms. */
const MEGABYTE_RATE = 8_000_000;
const EARLY_MS = 0.5;

interface Arrival {
  readonly lane: Lane<number>;
  readonly item: number;
  readonly atMs: number;
}

/** A link whose time passes only when a test says so; it is woken exactly when it asks to be. */
function createRun(settings: Partial<LinkSettings>, seed = 1) {
  const shaper = new LinkShaper<number>({ ...plain, ...settings }, createPrng(seed));
  const arrivals: Arrival[] = [];
  let nowMs = 0;
  let wakeMs: number | undefined;
  const full = new Set<Lane<number>>();
  const advance = (): void => {
    wakeMs = shaper.advance(nowMs, (lane, item) => {
      arrivals.push({ lane, item, atMs: nowMs });
      return full.has(lane) ? "full" : "taken";
    });
  };
  return {
    shaper,
    arrivals,
    full,
    advance,
    get nowMs() {
      return nowMs;
    },
    offer(lane: Lane<number>, item: number, sizeBytes: number) {
      shaper.offer(lane, item, sizeBytes, nowMs);
      advance();
    },
    change(next: Partial<LinkSettings>) {
      shaper.change({ ...shaper.settings, ...next }, nowMs);
      advance();
    },
    /** Lets time pass to this instant. */
    until(endMs: number) {
      for (let turns = 0; wakeMs !== undefined && wakeMs <= endMs; turns++) {
        expect(turns).toBeLessThan(100_000);
        nowMs = Math.max(nowMs, wakeMs);
        advance();
      }
      nowMs = Math.max(nowMs, endMs);
      advance();
    },
  };
}

describe("LinkShaper", () => {
  it("hands over at once on a link without latency or limit", () => {
    const run = createRun({});
    run.offer(new Lane(), 7, 1000);
    expect(run.arrivals.map(({ item, atMs }) => [item, atMs])).toEqual([[7, 0]]);
    expect(run.shaper.bufferedBytes).toBe(0);
  });

  it("delays every parcel by the latency", () => {
    const run = createRun({ latencyMs: 20 });
    const lane = new Lane<number>();
    run.offer(lane, 1, 100);
    run.until(3);
    run.offer(lane, 2, 100);
    run.until(19);
    expect(run.arrivals).toEqual([]);
    run.until(100);
    expect(run.arrivals.map(({ atMs }) => atMs)).toEqual([20 - EARLY_MS, 23 - EARLY_MS]);
  });

  it("L1: never lets a parcel overtake another one of its lane, whatever the jitter", () => {
    fc.assert(
      fc.property(
        fc.integer(),
        fc.array(fc.record({ lane: fc.nat(2), size: fc.nat(3000), gapMs: fc.nat(5) }), {
          maxLength: 60,
        }),
        (seed, offers) => {
          const run = createRun({ latencyMs: 5, jitterMs: 30, bitsPerSecond: MEGABYTE_RATE }, seed);
          const lanes = [new Lane<number>(), new Lane<number>(), new Lane<number>()];
          const sent = new Map<Lane<number>, number[]>();
          for (const [index, { lane: which, size, gapMs }] of offers.entries()) {
            const lane = lanes[which] ?? new Lane<number>();
            sent.set(lane, [...(sent.get(lane) ?? []), index]);
            run.offer(lane, index, size);
            run.until(run.nowMs + gapMs);
          }
          run.until(10_000);
          for (const [lane, items] of sent)
            expect(run.arrivals.filter((one) => one.lane === lane).map(({ item }) => item)).toEqual(
              items,
            );
          expect(run.shaper.bufferedBytes).toBe(0);
          expect(run.shaper.deliveredBytes).toBe(run.shaper.enteredBytes);
        },
      ),
    );
  });

  it("L2: sends no more than the bandwidth over any span, and no less while it has work", () => {
    const run = createRun({ bitsPerSecond: MEGABYTE_RATE });
    const lane = new Lane<number>();
    for (let i = 0; i < 200; i++) run.offer(lane, i, 1000);
    run.until(1000);
    for (const [index, { atMs }] of run.arrivals.entries()) {
      // Parcel i is complete after i + 1 ms; a burst of 1 ms and the early delivery are allowed.
      expect(atMs).toBeGreaterThanOrEqual(index + 1 - 2);
      expect(atMs).toBeLessThanOrEqual(index + 1 + 1);
    }
    expect(run.arrivals).toHaveLength(200);
  });

  it("L2: gives no credit for the time in which there was nothing to send", () => {
    const run = createRun({ bitsPerSecond: MEGABYTE_RATE });
    const lane = new Lane<number>();
    run.until(10_000);
    for (let i = 0; i < 50; i++) run.offer(lane, i, 1000);
    run.until(10_020);
    expect(run.arrivals.length).toBeLessThanOrEqual(22);
  });

  it("shares the bandwidth evenly between lanes", () => {
    const run = createRun({ bitsPerSecond: MEGABYTE_RATE });
    const [greedy, modest] = [new Lane<number>(), new Lane<number>()];
    for (let i = 0; i < 100; i++) run.offer(greedy, i, 1000);
    for (let i = 0; i < 10; i++) run.offer(modest, i, 1000);
    run.until(24);
    expect(run.arrivals.filter(({ lane }) => lane === modest)).toHaveLength(10);
  });

  it("L3: holds everything while cut, what flies and what comes, and loses nothing", () => {
    const run = createRun({ latencyMs: 10 });
    const lane = new Lane<number>();
    run.offer(lane, 1, 500);
    run.until(5);
    run.change({ cut: true });
    run.offer(lane, 2, 500);
    run.until(10_000);
    expect(run.arrivals).toEqual([]);
    expect(run.shaper.bufferedBytes).toBe(1000);
    run.change({ cut: false });
    run.until(10_011);
    expect(run.arrivals.map(({ item }) => item)).toEqual([1, 2]);
  });

  it("L3: does not make up for the time of a cut with a burst", () => {
    const run = createRun({ bitsPerSecond: MEGABYTE_RATE });
    const lane = new Lane<number>();
    for (let i = 0; i < 100; i++) run.offer(lane, i, 1000);
    run.change({ cut: true });
    run.until(5000);
    const before = run.arrivals.length;
    run.change({ cut: false });
    run.until(5010);
    expect(run.arrivals.length - before).toBeLessThanOrEqual(13);
  });

  it("L4: lets other lanes go on while the receiver of one is slow", () => {
    const run = createRun({ latencyMs: 1 });
    const [slow, quick] = [new Lane<number>(), new Lane<number>()];
    run.full.add(slow);
    for (let i = 0; i < 3; i++) run.offer(slow, i, 10);
    for (let i = 0; i < 3; i++) run.offer(quick, i, 10);
    run.until(100);
    expect(run.arrivals.filter(({ lane }) => lane === slow)).toHaveLength(1);
    expect(run.arrivals.filter(({ lane }) => lane === quick)).toHaveLength(3);
    run.full.delete(slow);
    slow.blocked = false;
    run.advance();
    expect(run.arrivals.filter(({ lane }) => lane === slow)).toHaveLength(3);
  });

  it("L5: has no room for a lane beyond what flies and a short queue, shared by all lanes", () => {
    const run = createRun({ latencyMs: 100, bitsPerSecond: 800_000_000 });
    const [one, two] = [new Lane<number>(), new Lane<number>()];
    const capacity = run.shaper.capacityBytes;
    expect(capacity).toBe(100_000 * 120);
    run.offer(one, 1, capacity * 0.6);
    expect(run.shaper.hasRoom(one)).toBe(true);
    run.offer(two, 2, 1);
    expect(run.shaper.hasRoom(one)).toBe(false);
    expect(run.shaper.hasRoom(two)).toBe(true);
  });

  it("forgets what a dropped lane holds, also what waits for its turn", () => {
    const run = createRun({ bitsPerSecond: 8000 });
    const [gone, other] = [new Lane<number>(), new Lane<number>()];
    for (let i = 0; i < 5; i++) run.offer(gone, i, 100);
    run.offer(other, 9, 1);
    run.shaper.drop(gone);
    run.until(10_000);
    expect(run.shaper.bufferedBytes).toBe(0);
    expect(run.arrivals.at(-1)?.item).toBe(9);
  });

  it("applies a new bandwidth to what still waits", () => {
    const run = createRun({ bitsPerSecond: 8000 });
    const lane = new Lane<number>();
    for (let i = 0; i < 100; i++) run.offer(lane, i, 1000);
    run.until(10);
    run.change({ bitsPerSecond: 0 });
    // The parcel in the transmitter keeps its second; without the change this took a hundred.
    run.until(1001);
    expect(run.arrivals).toHaveLength(100);
  });
});
