/**
 * The writers of a chaos run: real block clients that keep a history of what they were told, write while
 * faults strike, and are asked before and after whether the lab serves them steadily.
 */

import type { Scenario, SteadyState, WriterFact } from "../../chaos/index.ts";
import { SvwWriter, type WriterStatus } from "../../guest/index.ts";
import type { RunResult } from "../../report/index.ts";
import type { Context } from "../command.ts";
import type { SiteActions } from "../demo/siteActions.ts";
import { quietLog } from "../quietLog.ts";

const POLL_MS = 100;
/** One point of a chart. */
const INTERVAL_MS = 500;
const nothing = (): void => undefined;

type Workload = RunResult["workloads"][number];

export interface WritersWorld {
  readonly context: Context;
  readonly actions: SiteActions;
  readonly scenario: Scenario;
  /** Absolute path of a folder outside the lab. */
  readonly workFolder: string;
  readonly seed: number;
}

/** Path of the history of a pd's writer below the work folder. */
export function historyOf(pd: string): string {
  return `history-${pd}`;
}

interface Running {
  readonly writer: SvwWriter;
  readonly about: Pick<Workload, "pd" | "site" | "vdisks" | "ratePerSecond">;
  readonly abort: AbortController;
  readonly done: Promise<WriterStatus>;
  isStopped: boolean;
}

export class Writers {
  readonly #world: WritersWorld;
  readonly #all = new Map<string, Running>();

  constructor(world: WritersWorld) {
    this.#world = world;
  }

  async start(): Promise<void> {
    const { context, actions, scenario, workFolder, seed } = this.#world;
    const { net, clock } = context.world;
    for (const [index, workload] of scenario.workloads.entries()) {
      const one = scenario.protection.find(({ pd }) => pd === workload.pd);
      const site = one?.at ?? "";
      const vdisks = await Promise.all(
        (one?.vdisks ?? []).map(async ({ name, sizeBytes }) => ({
          name,
          targets: await actions.targets(site, name),
          spanBytes: Math.min(sizeBytes, workload.spanBytes),
        })),
      );
      const { pd, queueDepth, ratePerSecond } = workload;
      const writer = new SvwWriter(
        { net, clock, disk: context.world.diskAt(workFolder), log: quietLog },
        {
          vdisks,
          runId: index + 1,
          seed: (seed + index) >>> 0,
          queueDepth,
          ratePerSecond,
          historyPath: historyOf(pd),
          intervalMs: INTERVAL_MS,
        },
      );
      const abort = new AbortController();
      const done = writer.run(abort.signal);
      done.catch(nothing); // looked at when the writer is stopped
      const about = { pd, site, vdisks: vdisks.map(({ name }) => name), ratePerSecond };
      this.#all.set(pd, { writer, about, abort, done, isStopped: false });
    }
  }

  /** Ends the writer of a pd; harmless when it has none, or it has ended. */
  async stop(pd: string): Promise<void> {
    const running = this.#all.get(pd);
    if (running === undefined) return;
    running.isStopped = true;
    running.abort.abort();
    await running.done;
  }

  async stopAll(): Promise<void> {
    await Promise.all([...this.#all.keys()].map((pd) => this.stop(pd)));
  }

  has(pd: string): boolean {
    return this.#all.has(pd);
  }

  /** Whether all writers that still write are served as they must be. @returns why not, or "" */
  async steady(wanted: readonly SteadyState[]): Promise<string> {
    const found = await Promise.all(wanted.map((one) => this.#isSteady(one)));
    return found.filter((one) => one !== "").join("; ");
  }

  async #isSteady({ pd, writes, withinMs }: SteadyState): Promise<string> {
    const running = this.#all.get(pd);
    if (running === undefined || running.isStopped) return "";
    const { clock } = this.#world.context.world;
    const before = running.writer.status().acknowledged;
    const untilMs = clock.now() + withinMs;
    for (;;) {
      const seen = running.writer.status().acknowledged - before;
      if (seen >= writes) return "";
      if (clock.now() > untilMs)
        return `the writer of ${pd} saw ${seen} writes acknowledged within ${withinMs} ms, not ${writes}`;
      await clock.sleep(POLL_MS, this.#world.context.signal);
    }
  }

  /** What the writer of a pd went through. */
  fact(pd: string): WriterFact | undefined {
    const writer = this.#all.get(pd)?.writer;
    if (writer === undefined) return undefined;
    const { acknowledged, unknown } = writer.status();
    return { acknowledged, unknown, stalledMs: longestSilence(writer.intervals()) };
  }

  /** All of them for the result; times are counted from `originMs`. */
  results(originMs: number): readonly Workload[] {
    return [...this.#all.values()].map(({ writer, about }) => {
      const { issued, acknowledged, unknown, acknowledgedBytes, reconnects } = writer.status();
      const intervals = writer.intervals().map((one) => ({
        ...one,
        fromMs: one.fromMs - originMs,
        toMs: one.toMs - originMs,
      }));
      const counts = { issued, acknowledged, unknown, bytes: acknowledgedBytes, reconnects };
      return { ...about, ...counts, intervals };
    });
  }
}

/** The longest run of intervals without an answer, in ms. */
function longestSilence(
  intervals: readonly { readonly fromMs: number; readonly toMs: number; acknowledged: number }[],
): number {
  let [longest, silent] = [0, 0];
  for (const { fromMs, toMs, acknowledged } of intervals) {
    silent = acknowledged === 0 ? silent + toMs - fromMs : 0;
    longest = Math.max(longest, silent);
  }
  return longest;
}
