/**
 * `antipode guest run` and `antipode audit` on a real lab: after the loss of a site the audit tells
 * exactly the numbers that the record says (P1, P2), for names, URIs and single vDisks; and everything
 * that is not an exact prefix ends with another exit code.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Audit } from "../../services/report/result.ts";
import { LabCli } from "./labCli.ts";

interface Written {
  readonly acknowledged: number;
  readonly acknowledgedBytes: number;
}
/** What `antipode audit --json` prints. */
interface Told extends Audit {
  readonly verdict: string;
  readonly comparedWith: string;
}

const RECORD_BYTES = 40;
const ACK = 3;
const SESSION = 1;

/** The answers that each session of a record got, read from the file byte by byte. */
function sessionsOf(
  file: string,
): readonly (readonly { gseq: number; vdisk: number; ms: number }[])[] {
  const bytes = readFileSync(file);
  const sessions: { gseq: number; vdisk: number; ms: number }[][] = [];
  for (let at = bytes.readUInt32LE(8); at < bytes.length; at += RECORD_BYTES) {
    const kind = bytes.readUInt8(at);
    if (kind === SESSION) sessions.push([]);
    if (kind !== ACK) continue;
    const gseq = Number(bytes.readBigUInt64LE(at + 8));
    const ms = Number(bytes.readBigUInt64LE(at + 16)) / 1000;
    sessions.at(-1)?.push({ gseq, vdisk: bytes.readUInt32LE(at + 4), ms });
  }
  return sessions;
}

describe("guest and audit on a real lab", () => {
  const cli = new LabCli();
  const dir = cli.directory();
  const at = ["--dir", dir] as const;
  const record = join(cli.base, "run.svwj");
  const guest = (seconds: string): Promise<Written> =>
    cli.json(
      "guest",
      "run",
      "d1",
      "d2",
      "--record",
      record,
      "--for",
      seconds,
      "--rate",
      "300",
      "--span",
      "4MiB",
      ...at,
    );
  const audit = async (...args: readonly string[]): Promise<Told & { readonly exit: number }> => {
    const run = await cli.run("audit", "--record", record, "--json", ...args, ...at);
    return { ...(JSON.parse(run.stdout) as Told), exit: run.status ?? -1 };
  };
  let before: Written = { acknowledged: 0, acknowledgedBytes: 0 };
  let after: Written = before;

  beforeAll(async () => {
    await cli.json("lab", "up", "--sites", "A,B", "--cvms", "2,1", ...at);
    for (const name of ["d1", "d2"])
      await cli.json("vdisk", "create", name, "--size", "16MiB", ...at);
    await cli.json("pd", "create", "gold", ...at);
    await cli.json("pd", "protect", "gold", "d1", "d2", ...at);
    before = await guest("2s");
    await cli.json("pd", "snapshot", "gold", ...at);
    await cli.json("pd", "replicate", "gold", "--to", "B", "--wait", ...at);
    after = await guest("1s");
  });
  afterAll(() => cli.cleanUp());

  it("P1: the source has every write that the record says was acknowledged", async () => {
    expect(before.acknowledged).toBeGreaterThan(100);
    expect(await audit("--site", "A")).toMatchObject({
      exit: 0,
      verdict: "prefix",
      acknowledged: before.acknowledged + after.acknowledged,
      kept: before.acknowledged + after.acknowledged,
      lost: 0,
      rpoMs: 0,
    });
  });

  it("P2: after the loss of the source the survivor lacks exactly what came after the recovery point", async () => {
    await cli.json("chaos", "kill", "site@A", "--stay-dead", ...at);
    await cli.json("pd", "activate", "gold", "--site", "B", ...at);
    const answers = sessionsOf(record)[1] ?? [];
    const [first, last] = [answers[0], answers.at(-1)];
    const found = await audit("--site", "B", "--rpo-max", "1m");
    expect(found).toMatchObject({
      exit: 0,
      ok: true,
      verdict: "prefix",
      acknowledged: before.acknowledged + after.acknowledged,
      kept: before.acknowledged,
      lost: after.acknowledged,
      lostBytes: after.acknowledgedBytes,
      outOfOrder: 0,
      torn: 0,
      rotten: 0,
      completeUntilMs: first?.ms,
      firstLost: { gseq: first?.gseq, acknowledgedAtMs: first?.ms },
      lastLost: { acknowledgedAtMs: last?.ms },
    });
    expect(found.rpoMs).toBeCloseTo((last?.ms ?? 0) - (first?.ms ?? 0), 3);
    const lostOf = (vdisk: number): number => answers.filter((one) => one.vdisk === vdisk).length;
    expect(found.vdisks.map((one) => [one.vdisk, one.lost])).toEqual([
      ["d1", lostOf(0)],
      ["d2", lostOf(1)],
    ]);
  });

  it("compares single vDisks and NBD URIs too, and says the same of them", async () => {
    const both = await audit("--site", "B");
    const one = await audit("--site", "B", "--vdisk", "d2");
    expect([one.exit, one.lost]).toEqual([0, both.vdisks[1]?.lost]);
    const uris = await Promise.all(
      ["d1", "d2"].map(async (name) => {
        const { uri } = await cli.json<{ uri: string }>(
          "vdisk",
          "show",
          name,
          "--site",
          "B",
          ...at,
        );
        return uri;
      }),
    );
    const byUri = { ...both, comparedWith: uris.join(", ") };
    expect(await audit("--uri", ...uris)).toEqual(byUri);
    const swapped = await audit("--uri", `d1=${uris[1]}`, `d2=${uris[0]}`);
    expect([swapped.exit, swapped.verdict]).toEqual([9, "damaged"]);
  });

  it("ends with 9 when too much is lost, when something required is, and when the disk is another's", async () => {
    const tooMuch = await audit("--site", "B", "--rpo-max", "1ms");
    expect([tooMuch.exit, tooMuch.verdict]).toEqual([9, "rpoExceeded"]);
    const later = new Date((tooMuch.lastLost?.acknowledgedAtMs ?? 0) + 1000).toISOString();
    const required = await audit("--site", "B", "--required-before", later);
    expect([required.exit, required.verdict]).toEqual([9, "requiredMissing"]);
    const other = join(cli.base, "other.svwj");
    const args = ["--record", other, "--for", "500ms", "--site", "B", "--span", "1MiB"];
    await cli.json("guest", "run", "d1", ...args, ...at);
    const overwritten = await audit("--site", "B");
    expect([overwritten.exit, overwritten.verdict]).toEqual([9, "damaged"]);
    expect(overwritten.rotten).toBeGreaterThan(10);
  });

  it("P10: refuses a record that is none, vDisks that it does not know, addresses where nobody is", async () => {
    const text = join(cli.base, "text");
    writeFileSync(text, "no record at all, but long enough to be looked at");
    expect((await cli.failure("audit", "--record", text, ...at)).code).toBe("FORMAT_UNSUPPORTED");
    const missing = await cli.failure("audit", "--record", join(cli.base, "none"), ...at);
    expect(missing).toMatchObject({ code: "INVALID_ARGUMENT", exit: 2 });
    const unknown = await cli.failure(
      "audit",
      "--record",
      record,
      "--vdisk",
      "d3",
      "--site",
      "B",
      ...at,
    );
    expect(unknown).toMatchObject({ code: "INVALID_ARGUMENT", exit: 2 });
    expect(unknown.message).toContain("d1, d2");
    const nobody = ["--uri", "d1=nbd://127.0.0.1:9/d1", "d2=nbd://127.0.0.1:9/d2"];
    expect((await cli.failure("audit", "--record", record, ...nobody)).exit).toBe(5);
    const twice = await cli.failure(
      "guest",
      "run",
      "d1",
      "d1",
      "--record",
      record,
      "--site",
      "B",
      ...at,
    );
    expect(twice.message).toContain("twice");
    const others = await cli.failure(
      "guest",
      "run",
      "d1",
      "--record",
      record,
      "--site",
      "B",
      "--for",
      "1s",
      ...at,
    );
    expect(others.code).toBe("INVALID_ARGUMENT");
  });
});
