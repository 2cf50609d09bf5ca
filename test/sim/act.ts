/**
 * One act of a run: a site is active, its clients write and read, its operator takes recovery points
 * and replicates them. What they are told is one branch (check/contracts.ts).
 */

import { createPrng } from "../../services/base/prng.ts";
import { MIB } from "../../services/base/units.ts";
import { createFakeDisk } from "../support/fakeDisk.ts";
import type { GroupVdisk } from "./check/contracts.ts";
import { pick, type SimConfig } from "./config.ts";
import type { Recorder } from "./record.ts";
import { PD, SitePort } from "./sitePort.ts";
import { GroupLoad, type Pace } from "./workload/groupLoad.ts";
import { OperatorLoad } from "./workload/operatorLoad.ts";
import { seedOf } from "./world/site.ts";
import { OUTSIDE, type World } from "./world/world.ts";

/** The writer's journal. */
const JOURNAL_DISK_BYTES = 64 * MIB;
/** A front-end that answers nothing for so long is given up. */
const IO_TIMEOUT_MS = 15_000;
const MS_PER_SECOND = 1000;
/** One of so many runs has writes that are due whether or not earlier ones were answered. */
const OPEN_LOOP_EVERY = 4;
const DELETE_WEIGHT = 0.15;
/** Sizes of writes in blocks of 4 KiB, one of these mixes a run: bytes cost time and say little, so few runs write many. */
const SIZE_MIXES = [[1], [1, 1, 2], [1, 1, 1, 4], [1, 1, 2, 8, 16]] as const;
const CG_ID = 1;

export interface ActWorld {
  readonly world: World;
  readonly recorder: Recorder;
  readonly config: SimConfig;
  readonly vdisks: readonly GroupVdisk[];
}

export interface ActPlan {
  /** From 1; tells its branch and its requests from those of other acts. */
  readonly number: number;
  readonly site: string;
  readonly generation: number;
  readonly basePointId: string | undefined;
  /** Sites that its points go to. */
  readonly targets: readonly string[];
}

export class Act {
  readonly site: string;
  readonly runId: number;
  /** The recovery point that it began with. */
  readonly basePointId: string | undefined;
  readonly load: GroupLoad;
  readonly port: SitePort;
  readonly operator: OperatorLoad;
  readonly #stopOperator = new AbortController();
  #operating: Promise<void> = Promise.resolve();

  constructor(parts: ActWorld, plan: ActPlan) {
    const { world, recorder, config, vdisks } = parts;
    const { number, site } = plan;
    this.site = site;
    this.basePointId = plan.basePointId;
    this.runId = config.seed * 10 + number;
    this.load = loadOf(parts, plan, this.runId);
    const prng = createPrng(seedOf(config.seed, `operator ${number}`));
    this.port = new SitePort({ world, recorder, prng, site, vdisks, name: `operator-${number}` });
    const weights = { snapshot: 1, replicate: config.operator.replicateShare };
    this.operator = new OperatorLoad({
      world: { clock: world.clock, moments: recorder },
      ...{ port: this.port, prng },
      plan: {
        branch: { pd: PD, runId: this.runId, site },
        targets: plan.targets,
        everyMs: config.operator.snapshotEveryMs / (1 + weights.replicate + DELETE_WEIGHT),
        weights: { ...weights, delete: DELETE_WEIGHT },
      },
    });
  }

  start(): void {
    this.load.start();
    this.#operating = this.operator.run(this.#stopOperator.signal);
    // A bug is thrown where its end is waited for; until then it is no unhandled one.
    this.#operating.catch(() => undefined);
  }

  /** The operator begins nothing more; resolves when it has been answered and its jobs have ended. */
  async endOperator(): Promise<void> {
    this.#stopOperator.abort();
    await this.#operating;
  }

  /** The site is lost, with whatever was under way there. */
  async lose(): Promise<void> {
    this.port.giveUp();
    await Promise.all([this.endOperator(), this.load.stop()]);
  }
}

function loadOf(
  { world, recorder, config, vdisks }: ActWorld,
  plan: ActPlan,
  runId: number,
): GroupLoad {
  const { number, site, generation, basePointId } = plan;
  const { writers, thinkMs } = config;
  const prng = createPrng(seedOf(config.seed, `load ${number}`));
  const { members } = world.site(site);
  const sizesBlocks = pick(createPrng(seedOf(config.seed, "sizes")), SIZE_MIXES);
  const pace: Pace =
    prng.below(OPEN_LOOP_EVERY) === 0
      ? { kind: "open", ratePerSecond: (writers * MS_PER_SECOND) / thinkMs }
      : { kind: "closed", thinkMs };
  return new GroupLoad(
    {
      ...{ clock: world.clock, log: world.log.child({ process: `clients-${site}` }) },
      ...{ net: world.network.host(OUTSIDE).net, moments: recorder },
      disk: createFakeDisk({ capacityBytes: JOURNAL_DISK_BYTES }),
    },
    {
      ...{ pd: PD, generation, site, runId, cgId: CG_ID, basePointId, vdisks, pace, sizesBlocks },
      ...{ seed: prng.uint32(), depth: writers, ioTimeoutMs: IO_TIMEOUT_MS },
      ...{ readers: pick(prng, [1, 2, 4]), readEveryMs: thinkMs * 2 },
      targetsOf({ id, name }) {
        // Each disk begins at another CVM, so that most are served through one that does not own them.
        const first = id % members.length;
        return [...members.slice(first), ...members.slice(0, first)].map(({ nbd }) => ({
          address: nbd,
          exportName: name,
        }));
      },
    },
  );
}
