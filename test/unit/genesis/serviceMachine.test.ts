/** The life of a supervised service: invariants G1 to G5 of services/genesis/SPEC.md. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  adopt,
  BACKOFF_MS_MAX,
  begin,
  CRASH_LOOP_DEATHS,
  isCrashLoop,
  newLife,
  type ServiceEvent,
  type ServiceLife,
  type Step,
  step,
} from "../../../services/genesis/serviceMachine.ts";

const limits = { restartDelayMs: 1000, stopGraceMs: 5000 };
const exited: ServiceEvent = { kind: "exited", reason: "status 1" };
const apply = (life: ServiceLife, ...events: ServiceEvent[]): Step =>
  events.reduce<Step>((last, event) => step(last.life, event, limits), { life, effects: [] });
const delayOf = ({ effects }: Step): number | undefined =>
  effects.flatMap((effect) => (effect.kind === "arm" ? [effect.delayMs] : []))[0];
const running = (autoRestart = true): ServiceLife =>
  apply(begin(newLife(autoRestart)).life, { kind: "answered" }).life;

describe("a supervised service", () => {
  it("is started again after the first delay when it dies", () => {
    const died = apply(running(), exited);
    expect([died.life.state, delayOf(died), died.life.lastExit]).toEqual([
      "backoff",
      1000,
      "status 1",
    ]);
    const again = apply(died.life, { kind: "timer" });
    expect([again.life.state, again.life.restarts]).toEqual(["starting", 1]);
    expect(again.effects[0]).toEqual({ kind: "spawn" });
  });

  it("G2: waits longer after every early death, within a bound, and shows the crash loop", () => {
    let life = running();
    const delays: number[] = [];
    for (let death = 1; death <= 40; death++) {
      const died = apply(life, exited);
      delays.push(delayOf(died) ?? -1);
      expect(isCrashLoop(died.life)).toBe(death >= CRASH_LOOP_DEATHS);
      life = apply(died.life, { kind: "timer" }, { kind: "answered" }).life;
    }
    expect(delays.slice(0, 4)).toEqual([1000, 2000, 4000, 8000]);
    expect(delays.at(-1)).toBe(BACKOFF_MS_MAX);
  });

  it("forgets its deaths once it has proved stable", () => {
    const stable = apply(
      running(),
      exited,
      { kind: "timer" },
      { kind: "answered" },
      { kind: "timer" },
    );
    expect(stable.life.deaths).toBe(0);
    expect(delayOf(apply(stable.life, exited))).toBe(1000);
  });

  it("G4: is back after the first delay however often a drill kills it", () => {
    let life = running();
    for (let kill = 0; kill < 10; kill++) {
      const died = apply(life, { kind: "drilled" }, exited);
      expect(delayOf(died)).toBe(1000);
      expect(isCrashLoop(died.life)).toBe(false);
      life = apply(died.life, { kind: "timer" }, { kind: "answered" }).life;
    }
  });

  it("G3: stays dead without automatic restart, until an operator starts it", () => {
    const dead = apply(running(false), exited);
    expect(dead.life.state).toBe("dead");
    expect(apply(dead.life, { kind: "timer" }).life.state).toBe("dead");
    expect(apply(dead.life, { kind: "start" }).life).toMatchObject({
      state: "starting",
      autoRestart: true,
    });
  });

  it("G3: gives up a backoff when automatic restart is turned off", () => {
    const off = apply(running(), exited, { kind: "autoRestart", on: false });
    expect(off.life.state).toBe("dead");
    expect(apply(off.life, { kind: "timer" }).life.state).toBe("dead");
  });

  it("is asked to end, then killed after the grace", () => {
    const stopping = apply(running(), { kind: "stop" });
    expect(stopping.effects).toEqual([{ kind: "askToEnd" }, { kind: "arm", delayMs: 5000 }]);
    expect(apply(stopping.life, { kind: "timer" }).effects[0]).toEqual({ kind: "kill" });
    expect(apply(stopping.life, exited).life.state).toBe("stopped");
  });

  it("is started after it has ended when it was restarted, but not when a stop came last", () => {
    const restarting = apply(running(), { kind: "restart" });
    expect(apply(restarting.life, exited).life.state).toBe("starting");
    expect(apply(restarting.life, { kind: "stop" }, exited).life.state).toBe("stopped");
  });

  it("is killed when it does not answer in time, and tried again", () => {
    const late = apply(begin(newLife(true)).life, { kind: "timer" });
    expect(late.effects[0]).toEqual({ kind: "kill" });
    expect(apply(late.life, exited).life.state).toBe("backoff");
  });

  it("waits for the answer of a process that it adopts", () => {
    const adopted = adopt(newLife(true));
    expect(adopted.life.state).toBe("starting");
    expect(adopted.effects.map((effect) => effect.kind)).toEqual(["arm"]);
  });

  it("G1, G3, G5: holds over any sequence of events that a process can cause", () => {
    const event = fc.constantFrom<ServiceEvent>(
      { kind: "start" },
      { kind: "stop" },
      { kind: "restart" },
      { kind: "answered" },
      exited,
      { kind: "timer" },
      { kind: "drilled" },
      { kind: "autoRestart", on: true },
      { kind: "autoRestart", on: false },
    );
    fc.assert(
      fc.property(fc.boolean(), fc.array(event, { maxLength: 80 }), (autoRestart, events) => {
        let life = begin(newLife(autoRestart)).life;
        let hasProcess = true;
        let isArmed = true;
        for (const one of events) {
          // Only a process can exit or answer, and only an armed timer can fire.
          if ((one.kind === "exited" || one.kind === "answered") && !hasProcess) continue;
          if (one.kind === "timer" && !isArmed) continue;
          const ordered = one.kind === "start" || one.kind === "restart";
          const before = life;
          if (one.kind === "exited") hasProcess = false;
          if (one.kind === "timer") isArmed = false;
          const next = step(life, one, limits);
          for (const effect of next.effects) {
            if (effect.kind === "spawn") {
              expect(hasProcess).toBe(false);
              if (!ordered && before.state !== "stopping") expect(before.autoRestart).toBe(true);
              hasProcess = true;
            }
            if (effect.kind === "arm") isArmed = true;
            if (effect.kind === "disarm") isArmed = false;
          }
          life = next.life;
          const withProcess = ["starting", "running", "stopping"].includes(life.state);
          expect(hasProcess).toBe(withProcess);
          if (withProcess && life.state !== "running") expect(isArmed).toBe(true);
          if (life.state === "backoff") expect(isArmed).toBe(true);
        }
      }),
    );
  });
});
