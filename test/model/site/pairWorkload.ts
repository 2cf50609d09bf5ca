/**
 * A short life of a pair of Stargates, for tests that let each of its calls fail once: writes, a kill, a loss
 * of power of one and of both, and at the end everything that was acknowledged is read back. The client goes
 * on until it is answered, and processes that end are started again, as genesis does.
 */

import { AntipodeError, codeOf } from "../../../services/base/errors.ts";
import { createPrng } from "../../../services/base/prng.ts";
import { KIB, MIB } from "../../../services/base/units.ts";
import { type SimulatedSite, simulatedSite } from "../../support/simulatedSite.ts";

const SLOT_BYTES = 8 * KIB;
const SLOTS = 6;
const CHECK_EVERY_MS = 1000;
/** A start that takes longer has failed: genesis would have been told by its exit. */
const START_MS_MAX = 4000;
const WORK_MS_MAX = 120_000;
const RETRY_MS = 50;
const DISK_BYTES = 4 * MIB;
const CREATIONS_MAX = 5;

const slotBytes = (slot: number, version: number): Uint8Array =>
  createPrng(slot * 1000 + version).fill(new Uint8Array(SLOT_BYTES));

/** Starts again what does not run, as genesis does. */
function keepRunning(site: SimulatedSite): void {
  const downSince = new Map<number, number>();
  const check = (): void => {
    for (const cvm of site.cvms) {
      if (site.isRunning(cvm)) downSince.delete(cvm);
      else if (!downSince.has(cvm)) downSince.set(cvm, site.clock.now());
      else if (site.clock.now() - (downSince.get(cvm) ?? 0) >= START_MS_MAX) {
        site.kill(cvm);
        site.start(cvm);
        downSince.delete(cvm);
      }
    }
    site.clock.after(CHECK_EVERY_MS, check);
  };
  check();
}

/** Repeats the act, each time over a new connection, until it succeeds. */
async function persist(
  site: SimulatedSite,
  act: (client: Awaited<ReturnType<SimulatedSite["openDisk"]>>) => Promise<void>,
): Promise<void> {
  let isDone = false;
  const work = async (): Promise<void> => {
    for (let attempt = 0; !isDone; attempt++) {
      try {
        const client = await site.openDisk("disk", 1 + (attempt % site.cvms.length));
        await act(client);
        isDone = true;
        await client.close();
      } catch (error) {
        if (!(error instanceof AntipodeError)) throw error;
        await site.clock.sleep(RETRY_MS);
      }
    }
  };
  await site.wait(work(), WORK_MS_MAX);
}

/** An answer that was lost is asked for again, as `antipode` does. */
async function create(site: SimulatedSite): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await site.createVdisk("disk", DISK_BYTES, 2);
      return;
    } catch (error) {
      if (codeOf(error) === "VDISK_EXISTS" && attempt > 1) return;
      if (!(error instanceof AntipodeError) || attempt >= CREATIONS_MAX) throw error;
    }
    await site.clock.tick(RETRY_MS);
  }
}

/**
 * Runs it once.
 * @param prepare called before anything runs, to lay hands on the ports
 * @returns what was acknowledged and is not there, in words
 * @throws when something hangs
 */
export async function runPairWorkload(
  seed: number,
  prepare: (site: SimulatedSite) => void,
): Promise<readonly string[]> {
  const site = await simulatedSite({ seed, cvms: 2 });
  const versions = new Map<number, number>();
  const write = (slot: number): Promise<void> =>
    persist(site, async (client) => {
      const version = (versions.get(slot) ?? 0) + 1;
      await client.write(slot * SLOT_BYTES, slotBytes(slot, version));
      versions.set(slot, version);
    });
  const problems: string[] = [];
  try {
    prepare(site);
    for (const cvm of site.cvms) site.start(cvm);
    keepRunning(site);
    const allRun = (): Promise<void> =>
      site.clock.tickUntil(() => site.cvms.every((cvm) => site.isRunning(cvm)), 60_000);
    await allRun();
    await create(site);
    for (let slot = 0; slot < SLOTS; slot++) await write(slot);
    site.kill(1);
    await write(0);
    await allRun();
    site.powerLoss(2);
    await write(1);
    await allRun();
    await site.clock.tick(3000);
    for (const cvm of site.cvms) site.powerLoss(cvm);
    for (const cvm of site.cvms) site.start(cvm);
    await allRun();
    await write(2);
    await persist(site, async (client) => {
      problems.length = 0;
      for (const [slot, version] of versions) {
        const found = await client.read(slot * SLOT_BYTES, SLOT_BYTES);
        const expected = slotBytes(slot, version);
        if (!found.every((byte, i) => byte === expected[i]))
          problems.push(`slot ${slot} does not hold version ${version}`);
      }
    });
    return problems;
  } finally {
    site.end();
  }
}
