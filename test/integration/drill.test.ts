/**
 * The drill of `antipode demo` with one more process killed with -9, at every step of it and of every
 * kind: it must still end well (P1, P3, P5, P9). What the user reads on standard error tells the test
 * how far the drill is, so the kills need no clock.
 */

import { closeSync, openSync, readSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { LabCli, processesWith } from "./labCli.ts";

interface DrillJson {
  readonly ok: boolean;
  readonly lab: {
    readonly upMs: number;
    readonly rssBytesPeak: number;
    readonly processes: number;
  };
  readonly replications: readonly {
    readonly kind: string;
    readonly leaderKilled: boolean;
    readonly logicalBytes: number;
    readonly zeroBytes: number;
    readonly unchangedBytes: number;
    readonly dedupedBytes: number;
    readonly uniqueBytes: number;
    readonly rootSource: Readonly<Record<string, string>>;
    readonly rootTarget: Readonly<Record<string, string>>;
  }[];
  readonly failover: {
    readonly bytesCompared: number;
    readonly sha256Source: string;
    readonly sha256Target: string;
    readonly leaderElectedMs: number;
  };
  readonly checks: readonly { readonly what: string; readonly held: boolean }[];
}

const IMAGE_BYTES = 48 * 1024 * 1024;
/** A slow link makes replications of a small disk long enough to be struck in the middle. */
const LINK = ["--bandwidth", "100mbit", "--latency", "2ms"] as const;

/** Lines of the drill after which a process is killed: one a step. */
const STEPS = [
  ["while the disk is written", "lab is up"],
  ["while the first replication runs", "recovery point rp-1 taken"],
  ["between replications", "rp-1 is at B"],
  ["while the second replication runs", "recovery point rp-2 taken"],
  ["while the disk is edited", "rp-2 is at B"],
  ["after the leader was killed", "kill -9 of the Cerebro leader"],
  ["before the site is lost", "rp-3 is at B"],
  ["after the site is lost", "kill -9 of all"],
] as const;

/** Every kind of process at either site; a row of victims a drill, one a step. */
const SITE_A = ["stargate@A/1", "cerebro@A/2", "etcd@A", "stargate@A/3"] as const;
const SITE_B = ["stargate@B/1", "cerebro@B/2", "etcd@B", "stargate@B/3"] as const;
const LAB = ["wan", "genesis"] as const;
const VICTIMS = [...SITE_A, ...SITE_B, ...LAB];

/** The real content of the Node binary: compressible, with duplicates, not zero. */
function makeImage(path: string): void {
  const from = openSync(process.execPath, "r");
  const bytes = Buffer.alloc(IMAGE_BYTES);
  readSync(from, bytes, 0, IMAGE_BYTES, 0);
  closeSync(from);
  writeFileSync(path, bytes);
}

describe("the drill", () => {
  const cli = new LabCli();
  const image = join(cli.base, "image");
  makeImage(image);
  afterAll(() => cli.cleanUp());

  it("ends well, tells exact figures and leaves nothing behind", { timeout: 240_000 }, async () => {
    const dir = cli.directory("plain");
    const report = await cli.json<DrillJson>("demo", "--input", image, ...LINK, "--dir", dir);
    expect(report.checks.filter((check) => !check.held)).toEqual([]);
    expect(report.ok).toBe(true);
    expect(report.replications.map((one) => [one.kind, one.leaderKilled])).toEqual([
      ["full", false],
      ["incremental", false],
      ["incremental", true],
    ]);
    for (const one of report.replications) {
      expect(one.rootTarget).toEqual(one.rootSource);
      expect(one.zeroBytes + one.unchangedBytes + one.dedupedBytes + one.uniqueBytes).toBe(
        one.logicalBytes,
      );
    }
    expect(report.failover.bytesCompared).toBe(IMAGE_BYTES);
    expect(report.failover.sha256Target).toBe(report.failover.sha256Source);
    expect(report.failover.leaderElectedMs).toBeGreaterThan(0);
    expect(processesWith(dir)).toEqual([]);
  });

  // Each drill strikes every step, each time another process: over all drills every victim meets
  // several steps, and every step several victims.
  for (const first of [0, 2, 4, 6, 8])
    it(`ends well although a process is killed at each of its steps, from ${VICTIMS[first] ?? ""} on`, {
      timeout: 300_000,
    }, async () => {
      const dir = cli.directory(`kills-${first}`);
      const drill = cli.start("demo", "--input", image, ...LINK, "--dir", dir);
      const output: string[] = [];
      const kills: Promise<unknown>[] = [];
      const struck = new Set<number>();
      const look = (): void => {
        const text = output.join("");
        for (const [index, [, line]] of STEPS.entries()) {
          if (struck.has(index) || !text.includes(line)) continue;
          struck.add(index);
          const siteLost = index === STEPS.length - 1;
          const victims = siteLost ? [...SITE_B, ...LAB] : VICTIMS;
          const victim = victims[(first + index) % victims.length] ?? "wan";
          output.push(`\n### kill ${victim} ###\n`);
          kills.push(
            cli.run("chaos", "kill", victim, "--dir", dir).then((run) => output.push(run.stderr)),
          );
        }
      };
      drill.stderr?.on("data", (part: Buffer) => {
        output.push(part.toString());
        look();
      });
      drill.stdout?.on("data", (part: Buffer) => output.push(part.toString()));
      const status = await new Promise((resolve) => drill.on("close", resolve));
      await Promise.all(kills);
      expect(status, output.join("")).toBe(0);
      expect(struck.size).toBe(STEPS.length);
      expect(processesWith(dir)).toEqual([]);
    });
});
