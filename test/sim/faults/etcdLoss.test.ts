/**
 * A site's etcd that comes back with nothing, or as it was some time ago (F15). What vDisks were is only
 * there (FAULT_MODEL.md, "etcd wiped or restored from a backup"), so nothing goes on by itself; but whoever
 * asks is told so, bytes that are wrong are never returned (P7), and what was acknowledged stays on the disks (P1).
 */

import { describe, expect, it } from "vitest";
import { equalBytes } from "../../../services/base/bytes.ts";
import { AntipodeError } from "../../../services/base/errors.ts";
import { createPrng, type Prng } from "../../../services/base/prng.ts";
import { MIB } from "../../../services/base/units.ts";
import type { NbdClient } from "../../../services/guest/index.ts";
import { VdiskService } from "../../../services/platform/wire/stargate.ts";
import { pick } from "../config.ts";
import type { SimSite } from "../world/site.ts";
import { CONTAINER, createWorld, memberOf, type World } from "../world/world.ts";
import { settledEntries, storedCopies } from "./storedBytes.ts";

const BLOCK_BYTES = 4096;
const BLOCKS = 24;
const SEEDS = [1, 2, 3, 4, 5, 7];
/** A client asks for so long; epochs that went back pass those that were seen meanwhile, or do not. */
const ASK_MS = 20_000;
const RETRY_MS = 500;
const SETTLE_MS = 5000;
/** Drains at once, so that roots in etcd are soon older than the disks. */
const TIGHT_OPLOG = { pendingBytesMax: 12 * 1024, recentBytesMax: 0 };
const SKEW = { offsetMs: 0, rate: 1, wallOffsetMs: () => 0 };

/** What a restarted site may answer with: the bytes only when the disks have all of them. */
const ANSWERS = {
  wiped: ["VDISK_NOT_FOUND"],
  restored: ["COORDINATOR_BEHIND", "bytes", "DEADLINE_EXCEEDED", "NOT_OWNER", "OWNER_UNAVAILABLE"],
};

interface Scene {
  readonly world: World;
  readonly site: SimSite;
  readonly prng: Prng;
  /** What was acknowledged last, by block. */
  readonly expected: Uint8Array[];
}

async function createScene(seed: number): Promise<Scene> {
  const prng = createPrng(seed);
  const cvms = pick(prng, [1, 2, 3]);
  const oplog = pick(prng, [{}, TIGHT_OPLOG, TIGHT_OPLOG]);
  const sites = ["A", "B"].map((name) => ({
    ...{ name, cvms, diskBytes: 256 * MIB, oplog, skew: () => SKEW },
  }));
  const replicationFactor = Math.min(cvms, 2);
  const world = await createWorld({ seed, sites, linkDelayMs: 5, replicationFactor });
  await world.begin();
  const site = world.site("A");
  const disk = { name: "disk", container: CONTAINER, sizeBytes: MIB, root: "", source: "" };
  await world.wait(world.call(memberOf(site, 0).stargate, VdiskService.createVdisk, disk));
  const expected = Array.from({ length: BLOCKS }, () => new Uint8Array(BLOCK_BYTES));
  return { world, site, prng, expected };
}

/** Overwrites random blocks, now and then long enough ago to be drained, or under another owner. */
async function write({ world, site, prng, expected }: Scene): Promise<void> {
  const client = await world.wait(
    world.openDisk("A", 1 + prng.below(site.cvms.length), "disk", { ioTimeoutMs: ASK_MS }),
  );
  for (let i = 0; i < BLOCKS; i++) {
    const at = prng.below(BLOCKS);
    const bytes = prng.fill(new Uint8Array(BLOCK_BYTES));
    await world.wait(client.write(at * BLOCK_BYTES, bytes));
    expected[at] = bytes;
  }
  await world.clock.tick(pick(prng, [0, 20, SETTLE_MS]));
  await world.wait(client.close());
  if (prng.below(2) === 0) {
    const { stargate } = pick(prng, site.cvms);
    stargate.kill();
    await world.clock.tick(SETTLE_MS);
    stargate.start();
    await world.clock.tick(SETTLE_MS);
  }
}

/** What the disks hold: fingerprints of chunks, and how many settled entries of oplogs. */
function stored(site: SimSite): { readonly chunks: ReadonlySet<string>; readonly entries: number } {
  const chunks = site.cvms.flatMap((cvm) =>
    storedCopies(site, cvm).map(({ fingerprint }) => `${cvm.cvm} ${fingerprint}`),
  );
  const entries = site.cvms.map((cvm) => settledEntries(site, cvm).length);
  return { chunks: new Set(chunks), entries: entries.reduce((sum, count) => sum + count, 0) };
}

/** Reads all blocks at every CVM until time is up or all is read. @returns what is wrong, and what it was told */
async function ask(scene: Scene): Promise<{ wrong: string[]; told: string[] }> {
  const { world, site, expected } = scene;
  const told = new Set<string>();
  for (const { cvm } of site.cvms) {
    const untilMs = world.clock.now() + ASK_MS;
    while (world.clock.now() < untilMs) {
      let client: NbdClient | undefined;
      try {
        client = await world.wait(world.openDisk("A", cvm, "disk", { ioTimeoutMs: ASK_MS }));
        const image = await world.wait(client.read(0, BLOCKS * BLOCK_BYTES));
        const wrong = expected.flatMap((block, i) => {
          const shown = image.subarray(i * BLOCK_BYTES, (i + 1) * BLOCK_BYTES);
          return equalBytes(block, shown) ? [] : [`block ${i} at CVM ${cvm}`];
        });
        told.add("bytes");
        if (wrong.length > 0) return { wrong, told: [...told] };
        break;
      } catch (error) {
        if (!(error instanceof AntipodeError)) throw error;
        told.add(error.code);
        await world.clock.tick(RETRY_MS);
      } finally {
        if (client !== undefined) await world.wait(client.close().catch(() => undefined));
      }
    }
  }
  return { wrong: [], told: [...told].sort() };
}

describe.each(["wiped", "restored"] as const)("an etcd that comes back %s", (how) => {
  it.each(SEEDS)(
    "tells so, shows no wrong byte and costs no disk anything, seed %i (P1, P7)",
    async (seed) => {
      const scene = await createScene(seed);
      const { world, site, prng } = scene;
      await write(scene);
      const backup = site.etcd.backup();
      await write(scene);
      const goOn = prng.below(2) === 0;
      if (!goOn) world.killSite("A");
      if (how === "wiped") site.etcd.wipe();
      else site.etcd.restore(backup);
      const before = stored(site);
      site.start();
      const first = await ask(scene);
      world.killSite("A");
      site.start();
      const second = await ask(scene);
      const told = [...first.told, "then", ...second.told];
      expect([...first.wrong, ...second.wrong], told.join()).toEqual([]);
      expect(ANSWERS[how], told.join()).toEqual(expect.arrayContaining(second.told));
      const after = stored(site);
      expect([...before.chunks].filter((chunk) => !after.chunks.has(chunk))).toEqual([]);
      expect(after.entries).toBeGreaterThanOrEqual(before.entries);
      expect(
        world.failures.filter(({ error }) => !(error instanceof AntipodeError)),
        "no process finds a bug",
      ).toEqual([]);
      world.end();
    },
  );
});
