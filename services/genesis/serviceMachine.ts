/**
 * The life of one supervised service as a pure step machine: event in, new state and effects out.
 * SPEC.md beside this file explains every cell; `table` is total, so a new state or event does not
 * compile until each is filled.
 *
 * The machine has one timer. What it means depends on the state: a start that takes too long, a
 * process that has proved stable, an end that takes too long, or the end of a backoff.
 */

import type { serviceStates } from "../platform/wire/genesis.ts";

export type ServiceState = (typeof serviceStates)[number];

/** A process that does not answer this long after its start is killed and started again. */
const START_TIMEOUT_MS = 60_000;
/** A process that has answered for this long has proved stable: its deaths are forgotten. */
const STABLE_AFTER_MS = 10_000;
/** However often a service dies, it is tried again after at most this. */
export const BACKOFF_MS_MAX = 30_000;
/** From this many early deaths in a row on it is called a crash loop. */
export const CRASH_LOOP_DEATHS = 4;

export interface MachineLimits {
  readonly restartDelayMs: number;
  readonly stopGraceMs: number;
}

export interface ServiceLife {
  readonly state: ServiceState;
  readonly autoRestart: boolean;
  /** Times started again after a death. */
  readonly restarts: number;
  /** Deaths in a row without proving stable. Deaths by a drill's `kill` do not count. */
  readonly deaths: number;
  /** A drill has killed the process; its end is awaited. */
  readonly drilled: boolean;
  /** When stopping: start again afterwards. */
  readonly startAfterStop: boolean;
  readonly lastExit: string;
}

export type ServiceEvent =
  | { readonly kind: "start" }
  | { readonly kind: "stop" }
  | { readonly kind: "restart" }
  | { readonly kind: "answered" }
  | { readonly kind: "exited"; readonly reason: string }
  | { readonly kind: "timer" }
  | { readonly kind: "drilled" }
  | { readonly kind: "autoRestart"; readonly on: boolean };

export type ServiceEffect =
  | { readonly kind: "spawn" }
  /** SIGTERM, with SIGCONT so that a frozen process can take it. */
  | { readonly kind: "askToEnd" }
  | { readonly kind: "kill" }
  /** Replaces the timer. */
  | { readonly kind: "arm"; readonly delayMs: number }
  | { readonly kind: "disarm" };

export interface Step {
  readonly life: ServiceLife;
  readonly effects: readonly ServiceEffect[];
}

/** A service that was never started. */
export function newLife(autoRestart: boolean): ServiceLife {
  return {
    state: "stopped",
    autoRestart,
    restarts: 0,
    deaths: 0,
    drilled: false,
    startAfterStop: false,
    lastExit: "",
  };
}

/** Is it known to die again and again? */
export function isCrashLoop(life: ServiceLife): boolean {
  return life.deaths >= CRASH_LOOP_DEATHS;
}

type Cell<K extends ServiceEvent["kind"]> = (
  life: ServiceLife,
  event: Extract<ServiceEvent, { readonly kind: K }>,
  limits: MachineLimits,
) => Step;
type Table = {
  readonly [S in ServiceState]: { readonly [K in ServiceEvent["kind"]]: Cell<K> };
};

const stay = (life: ServiceLife): Step => ({ life, effects: [] });

const becomeStarting = (life: ServiceLife): Step => ({
  life: { ...life, state: "starting", drilled: false, startAfterStop: false },
  effects: [{ kind: "spawn" }, { kind: "arm", delayMs: START_TIMEOUT_MS }],
});

/** An operator's start: whatever was decided about restarts before, this service is wanted again. */
const startAnew = (life: ServiceLife): Step =>
  becomeStarting({ ...life, autoRestart: true, deaths: 0 });

const becomeStopping = (
  life: ServiceLife,
  startAfterStop: boolean,
  limits: MachineLimits,
): Step => ({
  life: { ...life, state: "stopping", startAfterStop },
  effects: [{ kind: "askToEnd" }, { kind: "arm", delayMs: limits.stopGraceMs }],
});

const become = (life: ServiceLife, state: "stopped" | "dead"): Step => ({
  life: { ...life, state, drilled: false, startAfterStop: false },
  effects: [{ kind: "disarm" }],
});

/** The process has died although it was wanted. */
const onDeath: Cell<"exited"> = (life, event, limits) => {
  const died = { ...life, lastExit: event.reason, deaths: life.deaths + (life.drilled ? 0 : 1) };
  if (!died.autoRestart) return become(died, "dead");
  const doublings = Math.max(0, died.deaths - 1);
  const delayMs = Math.min(BACKOFF_MS_MAX, limits.restartDelayMs * 2 ** Math.min(doublings, 16));
  return {
    life: { ...died, state: "backoff", drilled: false },
    effects: [{ kind: "arm", delayMs }],
  };
};

const setAutoRestart: Cell<"autoRestart"> = (life, event) =>
  stay({ ...life, autoRestart: event.on });
const markDrilled: Cell<"drilled"> = (life) => stay({ ...life, drilled: true });
const noteExit: Cell<"exited"> = (life, event) => stay({ ...life, lastExit: event.reason });

/** Every state and event; a new one does not compile until its cells are filled. */
export const serviceTable: Table = {
  stopped: {
    start: startAnew,
    stop: stay,
    restart: startAnew,
    answered: stay,
    exited: noteExit,
    timer: stay,
    drilled: stay,
    autoRestart: setAutoRestart,
  },
  starting: {
    start: (life) => stay({ ...life, autoRestart: true }),
    stop: (life, _, limits) => becomeStopping(life, false, limits),
    restart: (life, _, limits) => becomeStopping(life, true, limits),
    answered: (life) => ({
      life: { ...life, state: "running" },
      effects: [{ kind: "arm", delayMs: STABLE_AFTER_MS }],
    }),
    exited: onDeath,
    timer: (life) => ({
      life,
      effects: [{ kind: "kill" }, { kind: "arm", delayMs: START_TIMEOUT_MS }],
    }),
    drilled: markDrilled,
    autoRestart: setAutoRestart,
  },
  running: {
    start: (life) => stay({ ...life, autoRestart: true }),
    stop: (life, _, limits) => becomeStopping(life, false, limits),
    restart: (life, _, limits) => becomeStopping(life, true, limits),
    answered: stay,
    exited: onDeath,
    timer: (life) => stay({ ...life, deaths: 0 }),
    drilled: markDrilled,
    autoRestart: setAutoRestart,
  },
  stopping: {
    start: (life) => stay({ ...life, autoRestart: true, startAfterStop: true }),
    stop: (life) => stay({ ...life, startAfterStop: false }),
    restart: (life) => stay({ ...life, startAfterStop: true }),
    answered: stay,
    exited: (life, event) => {
      const ended = { ...life, lastExit: event.reason };
      return life.startAfterStop ? startAnew(ended) : become(ended, "stopped");
    },
    timer: (life, _, limits) => ({
      life,
      effects: [{ kind: "kill" }, { kind: "arm", delayMs: limits.stopGraceMs }],
    }),
    drilled: stay,
    autoRestart: setAutoRestart,
  },
  backoff: {
    start: startAnew,
    stop: (life) => become(life, "stopped"),
    restart: startAnew,
    answered: stay,
    exited: noteExit,
    timer: (life) => becomeStarting({ ...life, restarts: life.restarts + 1 }),
    drilled: stay,
    autoRestart: (life, event) =>
      event.on
        ? stay({ ...life, autoRestart: true })
        : become({ ...life, autoRestart: false }, "dead"),
  },
  dead: {
    start: startAnew,
    stop: (life) => become(life, "stopped"),
    restart: startAnew,
    answered: stay,
    exited: noteExit,
    timer: stay,
    drilled: stay,
    autoRestart: setAutoRestart,
  },
};

/** What becomes of a service when something happens to it. */
export function step(life: ServiceLife, event: ServiceEvent, limits: MachineLimits): Step {
  const cell = serviceTable[life.state][event.kind] as Cell<ServiceEvent["kind"]>;
  return cell(life, event, limits);
}

/** The first start under this genesis: unlike an operator's, it decides nothing about restarts. */
export function begin(life: ServiceLife): Step {
  return becomeStarting(life);
}

/**
 * A service that an earlier genesis started and whose process has survived it: as if just started,
 * since nobody knows whether it answers.
 */
export function adopt(life: ServiceLife): Step {
  return {
    life: { ...life, state: "starting" },
    effects: [{ kind: "arm", delayMs: START_TIMEOUT_MS }],
  };
}
