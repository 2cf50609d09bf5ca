/**
 * The decisions of a candidate, without I/O: SPEC.md has the table in words. Facts come in as
 * events, work goes out as effects; the answer to a piece of work carries the turn in which it was
 * asked for, and counts for nothing when the machine has moved on.
 */

import type { Epoch } from "../../base/ids.ts";
import type { Compare } from "../coordinator.ts";

/** What etcd showed of the queue, in one transaction. */
export interface QueueView {
  /** Create revisions of all seats; ours is found by its key. */
  readonly seats: readonly { readonly key: string; readonly createRevision: number }[];
  /** The epoch key: 0 and 0 when it was never written. */
  readonly epoch: Epoch;
  readonly epochRevision: number;
  /** Beside the epoch: which life of etcd counts it; "" when nobody has said. */
  readonly incarnation: string;
}

/** A claim to lead: the seat and its place in the queue. */
export interface Seat {
  readonly key: string;
  readonly leaseId: string;
  readonly createRevision: number;
}

export type ElectionState =
  /** No lease that can be relied on. */
  | { readonly kind: "idle"; readonly turn: number }
  /** Writing the seat. */
  | { readonly kind: "seating"; readonly turn: number; readonly leaseId: string }
  /** Reading the queue. */
  | { readonly kind: "looking"; readonly turn: number; readonly seat: Seat }
  /** Somebody is before us. */
  | { readonly kind: "waiting"; readonly turn: number; readonly seat: Seat }
  /** First in the queue; raising the epoch proves that the seat is still ours. */
  | {
      readonly kind: "winning";
      readonly turn: number;
      readonly seat: Seat;
      readonly epoch: Epoch;
      readonly incarnation: string;
    }
  | {
      readonly kind: "leading";
      readonly turn: number;
      readonly seat: Seat;
      readonly epoch: Epoch;
    }
  /** Left for good; a seat under this lease must not stay behind. */
  | { readonly kind: "resigned"; readonly turn: number; readonly leaseId: string | undefined };

export type ElectionEvent =
  /** There is a lease that can be relied on. */
  | { readonly kind: "leaseHeld"; readonly leaseId: string }
  /** It is gone, or its trusted time is over. */
  | { readonly kind: "leaseLost" }
  | { readonly kind: "seated"; readonly turn: number; readonly seat: Seat }
  | { readonly kind: "seen"; readonly turn: number; readonly view: QueueView }
  | { readonly kind: "raised"; readonly turn: number }
  /** The epoch was not raised: the seat is gone or somebody raised it. */
  | { readonly kind: "refused"; readonly turn: number }
  /** A call failed; it may have happened. */
  | { readonly kind: "failed"; readonly turn: number }
  /** The watch saw a change of the queue, or the poll is due. */
  | { readonly kind: "nudged" }
  /** With the lease that the process has now, under which a seat may exist. */
  | { readonly kind: "resign"; readonly leaseId: string | undefined };

export type ElectionEffect =
  | { readonly kind: "takeSeat"; readonly turn: number; readonly leaseId: string }
  | { readonly kind: "look"; readonly turn: number }
  | {
      readonly kind: "raise";
      readonly turn: number;
      readonly seat: Seat;
      readonly epoch: Epoch;
      readonly incarnation: string;
      readonly epochRevision: number;
    }
  | {
      readonly kind: "lead";
      readonly seat: Seat;
      readonly epoch: Epoch;
      readonly incarnation: string;
    }
  | { readonly kind: "stepDown"; readonly epoch: Epoch }
  | { readonly kind: "leaveSeat"; readonly leaseId: string };

export interface ElectionStep {
  readonly state: ElectionState;
  readonly effects: readonly ElectionEffect[];
}

export const ELECTION_START: ElectionState = { kind: "idle", turn: 0 };

type Cell<S extends ElectionState["kind"], E extends ElectionEvent["kind"]> = (
  state: Extract<ElectionState, { kind: S }>,
  event: Extract<ElectionEvent, { kind: E }>,
) => ElectionStep;
type Table = {
  readonly [S in ElectionState["kind"]]: { readonly [E in ElectionEvent["kind"]]: Cell<S, E> };
};

const stay = (state: ElectionState): ElectionStep => ({ state, effects: [] });

/** Effects that a state needs when its term or its claim ends. */
const ending = (state: ElectionState): readonly ElectionEffect[] =>
  state.kind === "leading" ? [{ kind: "stepDown", epoch: state.epoch }] : [];

function becomeIdle(state: ElectionState): ElectionStep {
  return { state: { kind: "idle", turn: state.turn + 1 }, effects: ending(state) };
}

function becomeSeating(state: ElectionState, leaseId: string): ElectionStep {
  const turn = state.turn + 1;
  return {
    state: { kind: "seating", turn, leaseId },
    effects: [...ending(state), { kind: "takeSeat", turn, leaseId }],
  };
}

function becomeLooking(state: ElectionState, seat: Seat): ElectionStep {
  const turn = state.turn + 1;
  return { state: { kind: "looking", turn, seat }, effects: [{ kind: "look", turn }] };
}

function becomeResigned(
  state: ElectionState,
  event: Extract<ElectionEvent, { kind: "resign" }>,
): ElectionStep {
  const leaseId = "seat" in state ? state.seat.leaseId : event.leaseId;
  const resigned: ElectionState = { kind: "resigned", turn: state.turn + 1, leaseId };
  return { state: resigned, effects: [...ending(state), ...leaving(leaseId)] };
}

const leaving = (leaseId: string | undefined): readonly ElectionEffect[] =>
  leaseId === undefined ? [] : [{ kind: "leaveSeat", leaseId }];

/** A seat that was asked for before may come into being after: it would hold up the queue. */
const leaveAgain = (state: Extract<ElectionState, { kind: "resigned" }>): ElectionStep => ({
  state,
  effects: leaving(state.leaseId),
});

/** A lease other than the seat's: the seat dies with its lease, so there must be a new one. */
function onLeaseHeld(
  state: Extract<ElectionState, { seat: Seat }>,
  event: { readonly leaseId: string },
): ElectionStep {
  return event.leaseId === state.seat.leaseId ? stay(state) : becomeSeating(state, event.leaseId);
}

/** Whether our seat is there as we took it; a seat taken again later has another revision. */
function holdsSeat(seat: Seat, view: QueueView): boolean {
  return view.seats.some(
    (one) => one.key === seat.key && one.createRevision === seat.createRevision,
  );
}

function onSeen(
  state: Extract<ElectionState, { kind: "looking" }>,
  { view, turn: asked }: Extract<ElectionEvent, { kind: "seen" }>,
): ElectionStep {
  if (asked !== state.turn) return stay(state);
  const { seat } = state;
  if (!holdsSeat(seat, view)) return becomeSeating(state, seat.leaseId);
  const isFirst = view.seats.every((one) => one.createRevision >= seat.createRevision);
  const turn = state.turn + 1;
  if (!isFirst) return stay({ kind: "waiting", turn, seat });
  const epoch = (view.epoch + 1) as Epoch;
  // The first leader of an etcd without data names its life: no lease id is given twice.
  const incarnation = view.incarnation === "" ? seat.leaseId : view.incarnation;
  const { epochRevision } = view;
  return {
    state: { kind: "winning", turn, seat, epoch, incarnation },
    effects: [{ kind: "raise", turn, seat, epoch, incarnation, epochRevision }],
  };
}

/** While leading, the queue is looked at too: an administrator may have deleted the seat. */
function onSeenLeading(
  state: Extract<ElectionState, { kind: "leading" }>,
  event: Extract<ElectionEvent, { kind: "seen" }>,
): ElectionStep {
  if (event.turn !== state.turn) return stay(state);
  const deposed = !holdsSeat(state.seat, event.view) || event.view.epoch !== state.epoch;
  return deposed ? becomeSeating(state, state.seat.leaseId) : stay(state);
}

function onRaised(
  state: Extract<ElectionState, { kind: "winning" }>,
  event: { readonly turn: number },
): ElectionStep {
  if (event.turn !== state.turn) return stay(state);
  const { seat, epoch, incarnation } = state;
  const leading: ElectionState = { kind: "leading", turn: state.turn + 1, seat, epoch };
  return { state: leading, effects: [{ kind: "lead", seat, epoch, incarnation }] };
}

/** Looks again; after a raise that may have happened this only costs an epoch. */
function onUnsure(
  state: Extract<ElectionState, { kind: "winning" }>,
  event: { readonly turn: number },
): ElectionStep {
  return event.turn === state.turn ? becomeLooking(state, state.seat) : stay(state);
}

/** Every state and event; a new one does not compile until its cells are filled. */
export const electionTable: Table = {
  idle: {
    leaseHeld: (state, event) => becomeSeating(state, event.leaseId),
    leaseLost: stay,
    seated: stay,
    seen: stay,
    raised: stay,
    refused: stay,
    failed: stay,
    nudged: stay,
    resign: becomeResigned,
  },
  seating: {
    leaseHeld: (state, event) =>
      event.leaseId === state.leaseId ? stay(state) : becomeSeating(state, event.leaseId),
    leaseLost: becomeIdle,
    seated: (state, event) =>
      event.turn === state.turn ? becomeLooking(state, event.seat) : stay(state),
    seen: stay,
    raised: stay,
    refused: stay,
    failed: (state, event) =>
      event.turn === state.turn ? becomeSeating(state, state.leaseId) : stay(state),
    nudged: stay,
    resign: becomeResigned,
  },
  looking: {
    leaseHeld: onLeaseHeld,
    leaseLost: becomeIdle,
    seated: stay,
    seen: onSeen,
    raised: stay,
    refused: stay,
    failed: (state, event) =>
      event.turn === state.turn ? stay({ ...state, kind: "waiting" }) : stay(state),
    nudged: stay,
    resign: becomeResigned,
  },
  waiting: {
    leaseHeld: onLeaseHeld,
    leaseLost: becomeIdle,
    seated: stay,
    seen: stay,
    raised: stay,
    refused: stay,
    failed: stay,
    nudged: (state) => becomeLooking(state, state.seat),
    resign: becomeResigned,
  },
  winning: {
    leaseHeld: onLeaseHeld,
    leaseLost: becomeIdle,
    seated: stay,
    seen: stay,
    raised: onRaised,
    refused: onUnsure,
    failed: onUnsure,
    nudged: stay,
    resign: becomeResigned,
  },
  leading: {
    leaseHeld: onLeaseHeld,
    leaseLost: becomeIdle,
    seated: stay,
    seen: onSeenLeading,
    raised: stay,
    refused: stay,
    failed: stay,
    nudged: (state) => ({ state, effects: [{ kind: "look", turn: state.turn }] }),
    resign: becomeResigned,
  },
  resigned: {
    leaseHeld: stay,
    leaseLost: stay,
    seated: leaveAgain,
    seen: stay,
    raised: stay,
    refused: stay,
    failed: leaveAgain,
    nudged: stay,
    resign: stay,
  },
};

/** One step. Pure: equal arguments give equal results. */
export function stepElection(state: ElectionState, event: ElectionEvent): ElectionStep {
  // The table is total by its type; the pair of one state and one event picks one cell.
  const cell = electionTable[state.kind][event.kind] as (
    s: ElectionState,
    e: ElectionEvent,
  ) => ElectionStep;
  return cell(state, event);
}

/** Holds exactly as long as the seat is the one that was taken: for guarded transactions. */
export function guardOf(seat: Seat): Compare {
  return { kind: "createRevision", key: seat.key, equals: seat.createRevision };
}
