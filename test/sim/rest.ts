/**
 * When an act has ended, its sites stand still for as long as disks need to rot: copies of chunks that
 * another CVM has too are damaged for good, and power fails everywhere, so that whoever reads
 * afterwards reads disks, not memory (P1, P7). What the reading finds bad must then be written anew by
 * the product itself (P9): nobody takes the damage back.
 */

import { createPrng, type Prng } from "../../services/base/prng.ts";
import type { CrashMode } from "../support/fakeFile.ts";
import type { ActWorld } from "./act.ts";
import type { Convergence, Instant } from "./check/contracts.ts";
import { pick } from "./config.ts";
import { ageCopies } from "./faults/media.ts";
import { storedCopies } from "./faults/storedBytes.ts";
import { groundOf } from "./faults.ts";
import { type SimCvm, type SimSite, seedOf } from "./world/site.ts";

const READY_MS_MAX = 60_000;
/** A repair is one write to another CVM. */
const MEND_MS_MAX = 10_000;
const POLL_MS = 500;
/** In one of so many rests disks rot before power fails. */
const ROT_FIRST_EVERY = 4;
const CRASH_MODES: readonly CrashMode[] = ["lost", "kept", "random", "tornTail"];

/** A copy that a reader found bad, and where. */
interface BadCopy {
  readonly site: SimSite;
  readonly cvm: SimCvm;
  readonly fingerprint: string;
}

/** One rest of all sites; `pass` it, read, then ask whether all is `mended`. */
export class Rest {
  readonly #parts: ActWorld;
  readonly #sites: readonly SimSite[];
  readonly #act: number;
  #over: Instant | undefined;
  #logLines = 0;

  /** @param where the sites that run, and the number of the act */
  constructor(
    parts: ActWorld,
    where: { readonly sites: readonly SimSite[]; readonly act: number },
  ) {
    this.#parts = parts;
    this.#sites = where.sites;
    this.#act = where.act;
  }

  async pass(): Promise<void> {
    const { world, config, recorder } = this.#parts;
    const prng = createPrng(seedOf(config.seed, `rest ${this.#act}`));
    const mode = pick(prng, CRASH_MODES);
    // A store that starts leaves out what it finds bad; one that runs does not know yet.
    const startsLast = prng.below(ROT_FIRST_EVERY) === 0;
    if (config.rest.powerLoss && !startsLast) await this.#losePower(mode);
    this.#rot(prng);
    if (config.rest.powerLoss && startsLast) await this.#losePower(mode);
    this.#over = recorder.instant();
    this.#logLines = world.log.lines.length;
  }

  #rot(prng: Prng): void {
    const { world, config, recorder } = this.#parts;
    for (const site of this.#sites) {
      const count = ageCopies(site, groundOf(world, site), {
        share: config.rest.rotShare,
        prng,
      });
      if (count === 0) continue;
      recorder.count("copy rotted at rest", count);
      this.#note({ kind: "F7", what: `${count} copies of chunks rotted at ${site.name}`, site });
    }
  }

  /** Waits until every copy that was found bad since the rest is sound again, somewhere on its CVM. */
  async mended(): Promise<Convergence> {
    const { world, recorder } = this.#parts;
    const healed = this.#over ?? recorder.instant();
    const found = this.#foundBad();
    if (found.length > 0) recorder.count("bad copy found after a rest", found.length);
    const budgetMs = world.clock.now() - healed.ms + MEND_MS_MAX;
    const name = "copies that were found bad are written anew";
    for (;;) {
      const left = stillBad(found);
      const isOver = world.clock.now() > healed.ms + budgetMs;
      if (left.length === 0 || isOver) {
        const [first] = left;
        const at = `${first?.fingerprint ?? ""} at ${first?.cvm.stargate.name ?? ""}`;
        const state = first === undefined ? "done" : `${left.length} of ${found.length} bad: ${at}`;
        const settled = first === undefined ? recorder.instant() : undefined;
        return { healed, budgetMs, duties: [{ name, settled, state }] };
      }
      await world.clock.sleep(POLL_MS);
    }
  }

  /** Not where a copy of an oplog is damaged, and the other ones are all that there is (ground.ts, G2). */
  async #losePower(mode: CrashMode): Promise<void> {
    const { world, config, recorder } = this.#parts;
    const prng = createPrng(seedOf(config.seed, `rest ${this.#act} power`));
    const struck = this.#sites.filter((site) => groundOf(world, site).allows(undefined));
    for (const site of struck) {
      for (const cvm of site.cvms) cvm.powerLoss(mode, prng);
      recorder.count("power lost at rest");
      this.#note({ kind: "F4", what: `power was lost at ${site.name}, ${mode}`, site });
      site.start();
    }
    await world.clock.tickUntil(
      () => struck.every(({ processes }) => processes.every(({ isReady }) => isReady)),
      READY_MS_MAX,
    );
  }

  #note(fault: { readonly kind: string; readonly what: string; readonly site: SimSite }): void {
    const { recorder, world } = this.#parts;
    const { kind, what, site } = fault;
    world.trace.event("world", "rest", what);
    const at = { from: recorder.instant(), until: recorder.instant() };
    recorder.faults.push({ kind, what, sites: [site.name], link: undefined, ...at });
  }

  #foundBad(): readonly BadCopy[] {
    const { world } = this.#parts;
    const cvms = this.#sites.flatMap((site) => site.cvms.map((cvm) => ({ site, cvm })));
    return world.log.lines.slice(this.#logLines).flatMap(({ fields }) => {
      const { event, fingerprint } = fields;
      if (event !== "extents.chunk-corrupt" || typeof fingerprint !== "string") return [];
      const at = cvms.find(({ cvm }) => cvm.stargate.name === fields["process"]);
      return at === undefined ? [] : [{ ...at, fingerprint }];
    });
  }
}

function stillBad(found: readonly BadCopy[]): readonly BadCopy[] {
  const sound = new Map<SimCvm, ReadonlySet<string>>();
  return found.filter(({ site, cvm, fingerprint }) => {
    const held = sound.get(cvm) ?? new Set(storedCopies(site, cvm).map((copy) => copy.fingerprint));
    sound.set(cvm, held);
    return !held.has(fingerprint);
  });
}
