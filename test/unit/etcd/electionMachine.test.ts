/** The election's table alone: answers that come too late, and leaving for good (SPEC.md, E3). */

import { describe, expect, it } from "vitest";
import { epoch } from "../../../services/base/ids.ts";
import {
  ELECTION_START,
  type ElectionEffect,
  type ElectionEvent,
  type ElectionState,
  type Seat,
  stepElection,
} from "../../../services/platform/coordination/electionMachine.ts";

const seat: Seat = { key: "seat/7", leaseId: "7", createRevision: 10 };
const alone = { seats: [seat], epoch: epoch(4), epochRevision: 9, incarnation: "1" };
const behind = { ...alone, seats: [{ key: "seat/1", createRevision: 3 }, seat] };

function run(...events: readonly ElectionEvent[]): {
  state: ElectionState;
  effects: readonly ElectionEffect[];
} {
  let state: ElectionState = ELECTION_START;
  let effects: readonly ElectionEffect[] = [];
  for (const event of events) ({ state, effects } = stepElection(state, event));
  return { state, effects };
}

const toLooking: readonly ElectionEvent[] = [
  { kind: "leaseHeld", leaseId: "7" },
  { kind: "seated", turn: 1, seat },
];
const toWinning: readonly ElectionEvent[] = [...toLooking, { kind: "seen", turn: 2, view: alone }];
const toLeading: readonly ElectionEvent[] = [...toWinning, { kind: "raised", turn: 3 }];
const resign: ElectionEvent = { kind: "resign", leaseId: "7" };

describe("election machine", () => {
  it("takes a seat, looks, raises the epoch, leads (E1)", () => {
    expect(run(...toWinning).effects).toEqual([
      { kind: "raise", turn: 3, seat, epoch: 5, incarnation: "1", epochRevision: 9 },
    ]);
    expect(run(...toLeading)).toMatchObject({
      state: { kind: "leading", epoch: 5 },
      effects: [{ kind: "lead", seat, epoch: 5, incarnation: "1" }],
    });
  });

  it("names the incarnation of an etcd where nobody has led by its own lease (P4)", () => {
    const empty = { seats: [seat], epoch: epoch(0), epochRevision: 0, incarnation: "" };
    const { effects } = run(...toLooking, { kind: "seen", turn: 2, view: empty });
    expect(effects).toMatchObject([{ kind: "raise", epoch: 1, incarnation: seat.leaseId }]);
  });

  it("waits behind an older seat, and looks again when nudged (E2)", () => {
    const waiting = run(...toLooking, { kind: "seen", turn: 2, view: behind });
    expect(waiting.state.kind).toBe("waiting");
    const again = stepElection(waiting.state, { kind: "nudged" });
    expect(again).toMatchObject({ state: { kind: "looking" }, effects: [{ kind: "look" }] });
  });

  it.each([
    ["a seat", { kind: "seated", turn: 1, seat }],
    ["a view", { kind: "seen", turn: 2, view: alone }],
    ["a win", { kind: "raised", turn: 3 }],
  ] as const)(
    "does nothing on %s that was asked for before the lease was lost (E3)",
    (_what, late) => {
      const idle = run(...toWinning, { kind: "leaseLost" });
      expect(idle.state.kind).toBe("idle");
      expect(stepElection(idle.state, late)).toEqual({ state: idle.state, effects: [] });
    },
  );

  it("does not lead on a win of an earlier turn (E3)", () => {
    const { state } = run(
      ...toWinning,
      { kind: "failed", turn: 3 },
      {
        kind: "seen",
        turn: 4,
        view: { ...alone, epoch: epoch(5), epochRevision: 11 },
      },
    );
    expect(stepElection(state, { kind: "raised", turn: 3 }).effects).toEqual([]);
    expect(state).toMatchObject({ kind: "winning", epoch: 6 });
  });

  it("takes another seat when its own is not the one that it took (E3)", () => {
    const other = { ...alone, seats: [{ key: seat.key, createRevision: 12 }] };
    expect(run(...toLooking, { kind: "seen", turn: 2, view: other }).effects).toMatchObject([
      { kind: "takeSeat", leaseId: "7" },
    ]);
  });

  it.each([
    ["its lease is lost", { kind: "leaseLost" }],
    ["there is another lease", { kind: "leaseHeld", leaseId: "8" }],
    ["its seat is gone", { kind: "seen", turn: 4, view: { ...alone, seats: [], epoch: epoch(5) } }],
    ["another epoch was begun", { kind: "seen", turn: 4, view: { ...alone, epoch: epoch(6) } }],
    ["it resigns", resign],
  ] as const)("steps down first of all when %s (E4, E6)", (_what, event) => {
    expect(run(...toLeading, event).effects[0]).toEqual({ kind: "stepDown", epoch: 5 });
  });

  it("leaves its seat when it resigns, and again when the seat comes late (E3)", () => {
    const leave = [{ kind: "leaveSeat", leaseId: "7" }];
    const resigned = run({ kind: "leaseHeld", leaseId: "7" }, resign);
    expect(resigned.effects).toEqual(leave);
    expect(stepElection(resigned.state, { kind: "seated", turn: 1, seat }).effects).toEqual(leave);
    expect(stepElection(resigned.state, { kind: "failed", turn: 1 }).effects).toEqual(leave);
  });

  it("does nothing more after it resigned", () => {
    const { state } = run(...toLeading, resign);
    for (const event of [
      { kind: "leaseHeld", leaseId: "9" },
      { kind: "nudged" },
      { kind: "seen", turn: state.turn, view: alone },
      { kind: "raised", turn: state.turn },
    ] as const)
      expect(stepElection(state, event)).toEqual({ state, effects: [] });
  });
});
