/** After the last fault was healed: everything that has to come to an end, and when it did (P9). */

import { AntipodeError, codeOf } from "../../services/base/errors.ts";
import { isEnded } from "../../services/base/jobStates.ts";
import { CerebroService } from "../../services/platform/wire/cerebro.ts";
import { VdiskService } from "../../services/platform/wire/stargate.ts";
import type { Act, ActWorld } from "./act.ts";
import type { Convergence, Instant } from "./check/contracts.ts";
import { PD } from "./sitePort.ts";
import type { SimSite } from "./world/site.ts";
import { memberOf } from "./world/world.ts";

const POLL_MS = 250;
/** Writes acknowledged after healing before they count as going on. */
const WRITES_MIN = 5;

export interface ConvergeOptions extends ActWorld {
  /** Under way; its operator begins nothing more. */
  readonly act: Act;
  /** All that run. */
  readonly sites: readonly SimSite[];
  readonly budgetMs: number;
}

type Duty = Convergence["duties"][number];
type Probe = () => Promise<string | undefined>;

/** Waits for every duty until the budget is spent. */
export async function converge(options: ConvergeOptions): Promise<Convergence> {
  const { recorder, act, sites, budgetMs } = options;
  const healed = recorder.instant();
  const until = (name: string, probe: Probe): Promise<Duty> =>
    settle(options, { name, healed, probe });
  const others = sites.filter(({ name }) => name !== act.site);
  const duties = await Promise.all([
    ...sites
      .flatMap((site) => site.processes)
      .map((process) =>
        until(`${process.name} is ready`, () =>
          Promise.resolve(process.isReady ? undefined : "not ready"),
        ),
      ),
    until("writes go on", writesGoOn(act)),
    ...options.vdisks.map(({ name }) =>
      until(`${name} has its log's copies`, copiesOf(options, name)),
    ),
    ...others.map((site) =>
      until(`${PD} is not active at ${site.name}`, standingAt(options, site)),
    ),
    until("the operator is answered and its jobs have ended", ended(act.endOperator(), act)),
  ]);
  if (duties.some(({ settled }) => settled === undefined)) return { healed, budgetMs, duties };
  let refused = "";
  const last = (async (): Promise<void> => {
    const point = await act.operator.snapshot();
    if (point === undefined) refused = "refused";
    else for (const { name } of others) await act.operator.replicate(point.id, name);
  })();
  const isTaken = ended(last, act);
  duties.push(
    await until("a new recovery point is taken, and comes to every site", async () =>
      refused === "" ? isTaken() : refused,
    ),
  );
  duties.push(await until("jobs are done", jobsDone(act)));
  return { healed, budgetMs, duties };
}

function ended(work: Promise<unknown>, { port }: Act): Probe {
  let isEnded = false;
  const noted = work.finally(() => {
    isEnded = true;
  });
  // A bug is told by whoever asks; nobody does when another duty failed.
  noted.catch(() => undefined);
  return async () => {
    if (!isEnded) return `waiting for ${port.waitingFor}`;
    await noted;
    return undefined;
  };
}

function writesGoOn({ load }: Act): Probe {
  const before = load.acknowledged;
  return () => {
    const done = load.acknowledged - before;
    return Promise.resolve(done >= WRITES_MIN ? undefined : `${done} acknowledged`);
  };
}

function copiesOf({ world, act, config }: ConvergeOptions, name: string): Probe {
  return async () => {
    const { stargate } = memberOf(world.site(act.site), Math.floor(world.clock.now() / POLL_MS));
    const { peers, owner } = await world.call(stargate, VdiskService.showVdisk, { name });
    const isWhole = peers.length === config.replicationFactor && owner !== 0;
    return isWhole ? undefined : `copies at ${peers.join()}, owner ${owner}`;
  };
}

/** Two sites are never active for good: the lower generation yields when they meet (P4). */
function standingAt({ world }: ConvergeOptions, site: SimSite): Probe {
  return async () => {
    const { cerebro } = memberOf(site, Math.floor(world.clock.now() / POLL_MS));
    try {
      const { pd } = await world.call(cerebro, CerebroService.showPd, { name: PD });
      return pd?.state === "active" ? `active in generation ${pd.generation}` : undefined;
    } catch (error) {
      if (codeOf(error) === "PD_NOT_FOUND") return undefined;
      throw error;
    }
  };
}

/** Those of this act: an earlier one's may have been refused by a site that was activated meanwhile. */
function jobsDone(act: Act): Probe {
  return async () => {
    const own = new Set(act.operator.replications.map(({ jobId }) => jobId));
    const open = (await act.port.listJobs()).filter(
      ({ id, state }) => state !== "DONE" && (own.has(id) || !isEnded(state)),
    );
    const states = open.map(({ state, waiting, errorCode }) => `${state} ${waiting}${errorCode}`);
    return open.length === 0 ? undefined : states.join("; ");
  };
}

async function settle(
  { world, recorder, budgetMs }: ConvergeOptions,
  duty: { readonly name: string; readonly healed: Instant; readonly probe: Probe },
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
