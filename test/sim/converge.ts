/** After the last fault was healed: everything that has to come to an end, and when it did (P9). */

import { AntipodeError, codeOf } from "../../services/base/errors.ts";
import { VdiskService } from "../../services/platform/wire/stargate.ts";
import type { Convergence, GroupVdisk, Instant } from "./check/contracts.ts";
import type { SimConfig } from "./config.ts";
import type { GroupWriter } from "./groupWriter.ts";
import type { Operator } from "./operator.ts";
import type { Recorder } from "./record.ts";
import { memberOf, type World } from "./world/world.ts";

const POLL_MS = 250;
/** Writes acknowledged after healing before they count as going on. */
const WRITES_MIN = 5;

export interface ConvergeOptions {
  readonly world: World;
  readonly recorder: Recorder;
  readonly operator: Operator;
  /** Ends when the operator has ended what it was at. */
  readonly operating: Promise<void>;
  readonly writer: GroupWriter;
  readonly vdisks: readonly GroupVdisk[];
  readonly config: SimConfig;
  readonly budgetMs: number;
}

type Duty = Convergence["duties"][number];

/** Waits for every duty until the budget is spent. */
export async function converge(options: ConvergeOptions): Promise<Convergence> {
  const { world, recorder, operator, writer, vdisks, config, budgetMs } = options;
  const healed = recorder.instant();
  const until = (name: string, probe: () => Promise<string | undefined>): Promise<Duty> =>
    settle(options, { name, healed, probe });
  const acknowledgedBefore = writer.acknowledged;
  const processes = world.sites.flatMap((site) => site.processes);
  const others = world.sites.filter(({ name }) => name !== "A").map(({ name }) => name);
  let ended = false;
  const operating = options.operating.then(() => {
    ended = true;
  });
  const first = await Promise.all([
    ...processes.map((process) =>
      until(`${process.name} is ready`, () =>
        Promise.resolve(process.isReady ? undefined : "not ready"),
      ),
    ),
    until("writes go on", () => {
      const done = writer.acknowledged - acknowledgedBefore;
      return Promise.resolve(done >= WRITES_MIN ? undefined : `${done} acknowledged`);
    }),
    ...vdisks.map(({ name }) =>
      until(`${name} has its log's copies`, async () => {
        const { stargate } = memberOf(world.site("A"), Math.floor(world.clock.now() / POLL_MS));
        const { peers, owner } = await world.call(stargate, VdiskService.showVdisk, { name });
        const isWhole = peers.length === config.replicationFactor && owner !== 0;
        return isWhole ? undefined : `copies at ${peers.join()}, owner ${owner}`;
      }),
    ),
    until("the operator is answered", () => Promise.resolve(ended ? undefined : "waiting")),
  ]);
  if (first.some(({ settled }) => settled === undefined))
    return { healed, budgetMs, duties: first };
  await operating;
  let taken: "no" | "yes" | "refused" = "no";
  const lastPoint = (async (): Promise<void> => {
    const point = await operator.snapshot();
    if (point !== undefined) for (const to of others) await operator.replicate(point.id, to);
    taken = point === undefined ? "refused" : "yes";
  })();
  const last = await until("a new recovery point is taken", () =>
    Promise.resolve(taken === "yes" ? undefined : taken),
  );
  if (last.settled !== undefined) await lastPoint;
  const jobs = await until("jobs are done", async () => {
    const open = (await operator.listJobs()).filter(({ state }) => state !== "DONE");
    const states = open.map(({ state, waiting, errorCode }) => `${state} ${waiting}${errorCode}`);
    return open.length === 0 ? undefined : states.join("; ");
  });
  return { healed, budgetMs, duties: [...first, last, jobs] };
}

async function settle(
  { world, recorder, budgetMs }: ConvergeOptions,
  duty: {
    readonly name: string;
    readonly healed: Instant;
    /** What is still missing. */
    readonly probe: () => Promise<string | undefined>;
  },
): Promise<Duty> {
  const { name, healed, probe } = duty;
  for (;;) {
    let state: string | undefined;
    try {
      state = await probe();
    } catch (error) {
      if (!(error instanceof AntipodeError)) throw error;
      state = `not to be asked: ${codeOf(error) ?? ""}`;
    }
    if (state === undefined) return { name, settled: recorder.instant(), state: "done" };
    if (world.clock.now() > healed.ms + budgetMs) return { name, settled: undefined, state };
    await world.clock.sleep(POLL_MS);
  }
}
