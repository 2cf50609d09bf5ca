/**
 * P1, P7 and P10 on a real lab: files of the oplog that rotted, or lost their end, while their Stargates were
 * dead. A row says what FAULT_MODEL.md promises: with a second copy every acknowledged write is there; with
 * one copy what is lost is told where it can be known, and no byte that was not written is ever read.
 *
 * etcd is dead while the records are written, so that they are in the log only: a drain needs it.
 */

import { closeSync, openSync, readdirSync, readFileSync, truncateSync, writeSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createPrng } from "../../services/base/prng.ts";
import { connectNbd, type NbdClient, parseNbdUri } from "../../services/guest/index.ts";
import { createClock } from "../../services/platform/adapters/clock.ts";
import { createNet } from "../../services/platform/adapters/net.ts";
import { LabCli, type LabStatus } from "./labCli.ts";

const SLOT_BYTES = 4096;
const RECORDS = 16;
const MIDDLE = 7;
const LAST = RECORDS - 1;

const allRunning = (status: LabStatus): boolean =>
  status.processes.every((one) => one.state === "running");

/** What a slot was found to hold. */
type Slot = "written" | "before" | "refused" | "wrong";
const ALL = "all written";

interface Row {
  readonly damage: "truncated" | "rotten in the middle" | "rotten at the end";
  readonly site: "A" | "B";
  /** Whose copy. */
  readonly of: "owner" | "peer";
  readonly promise: string;
  /** What the slots hold afterwards. */
  readonly found: typeof ALL | readonly Slot[];
}

const slots = (count: number, slot: Slot): readonly Slot[] => new Array<Slot>(count).fill(slot);
const everything = "every write is there";

const ROWS: readonly Row[] = [
  { damage: "truncated", site: "A", of: "owner", promise: everything, found: ALL },
  { damage: "rotten in the middle", site: "A", of: "owner", promise: everything, found: ALL },
  { damage: "rotten in the middle", site: "A", of: "peer", promise: everything, found: ALL },
  { damage: "rotten at the end", site: "A", of: "owner", promise: everything, found: ALL },
  {
    damage: "rotten at the end",
    site: "B",
    of: "owner",
    promise: "the writes of the last batch are lost, and no other",
    found: [...slots(LAST, "written"), "before"],
  },
  {
    damage: "truncated",
    site: "B",
    of: "owner",
    promise: "the writes behind the cut are lost, and no other",
    found: [...slots(MIDDLE, "written"), ...slots(RECORDS - MIDDLE, "before")],
  },
  {
    damage: "rotten in the middle",
    site: "B",
    of: "owner",
    promise: "the vDisk is refused, and the first lost record is named",
    found: slots(RECORDS, "refused"),
  },
];

describe("a lab whose oplog was damaged while its Stargates were dead", () => {
  const cli = new LabCli();
  const dir = cli.directory();
  const at = ["--dir", dir] as const;
  const world = { net: createNet(), clock: createClock() };

  /** The oplog file of a CVM that holds these bytes, and where. */
  function find(site: string, cvm: number, bytes: Uint8Array): { path: string; position: number } {
    const folder = join(dir, "sites", site, `cvm-${cvm}`, "stargate", "oplog");
    for (const name of readdirSync(folder)) {
      const position = readFileSync(join(folder, name)).indexOf(bytes);
      if (position >= 0) return { path: join(folder, name), position };
    }
    throw new Error(`a record is in no file of ${folder}`);
  }

  function rot({ path, position }: { path: string; position: number }): void {
    const byte = readFileSync(path)[position + 100] ?? 0;
    const file = openSync(path, "r+");
    writeSync(file, Uint8Array.of(byte ^ 1), 0, 1, position + 100);
    closeSync(file);
  }

  const show = (name: string, site: string) =>
    cli.json<{ uri: string; owner: number; peers: number[] }>(
      "vdisk",
      "show",
      name,
      "--site",
      site,
      ...at,
    );

  /** What a slot holds, or `refused`. */
  async function look(client: NbdClient, slot: number, written: Uint8Array): Promise<Slot> {
    const bytes = await client.read(slot * SLOT_BYTES, SLOT_BYTES).catch(() => undefined);
    if (bytes === undefined) return "refused";
    if (Buffer.compare(bytes, written) === 0) return "written";
    return bytes.every((byte) => byte === 0) ? "before" : "wrong";
  }

  beforeAll(() => cli.json("lab", "up", "--sites", "A,B", "--cvms", "2,1", ...at));
  afterAll(() => cli.cleanUp());

  it.each(ROWS.map((row, index) => ({ ...row, index })))(
    "P1, P7: $damage at the $of of site $site: $promise",
    async ({ damage, site, of, found, index }) => {
      const name = `disk-${index}`;
      await cli.json("vdisk", "create", name, "--size", "1MiB", "--site", site, ...at);
      const records = Array.from({ length: RECORDS }, (_, i) =>
        createPrng(1000 * (index + 1) + i).fill(new Uint8Array(SLOT_BYTES)),
      );
      const { uri, owner, peers } = await show(name, site);
      const client = await connectNbd(world, parseNbdUri(uri));
      await cli.json("chaos", "kill", `etcd@${site}`, "--stay-dead", ...at);
      for (const [i, record] of records.entries()) await client.write(i * SLOT_BYTES, record);
      await cli.json("chaos", "kill", `site@${site}`, "--stay-dead", ...at);
      await client.close().catch(() => undefined);

      const cvm = of === "owner" ? owner : (peers.find((one) => one !== owner) ?? 0);
      const which = damage === "rotten at the end" ? LAST : MIDDLE;
      const place = find(site, cvm, records[which] ?? new Uint8Array(1));
      if (damage === "truncated") truncateSync(place.path, place.position);
      else rot(place);

      await cli.json("chaos", "start", `site@${site}`, ...at);
      await cli.statusWhen(dir, allRunning);
      const again = await connectNbd(world, parseNbdUri(uri));
      const held: Slot[] = [];
      for (const [i, record] of records.entries()) held.push(await look(again, i, record));
      if (held.includes("refused"))
        await expect(again.read(0, SLOT_BYTES)).rejects.toThrow(
          new RegExp(`record ${MIDDLE + 1} .*"${name}"`),
        );
      await again.close();
      expect(held).toEqual(found === ALL ? slots(RECORDS, "written") : found);
    },
  );
});
