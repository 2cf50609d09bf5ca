/**
 * P1, P9, I15: whichever single call between a pair of Stargates fails, or to their etcd, before it has its
 * effect or after it with its answer lost, no acknowledged write is lost and the pair goes on by itself.
 * A sample by default, every call with ANTIPODE_EVERY_CALL=1 (test/model/everyCall.ts).
 */

import { describe, expect, it } from "vitest";
import { failEveryCall, meterCallsOfHosts, meterCallsToEtcd } from "../everyCall.ts";
import { runPairWorkload } from "./pairWorkload.ts";

const SEED = Number(process.env["ANTIPODE_SEED"] ?? 1);
/** Of 100 and 206 when this was written. */
const RUNS_MAX = 50;
/** Places that calls come from; fewer would mean that the workload reaches little of what it is for. */
const RPC_PLACES_MIN = 5;
const ETCD_PLACES_MIN = 12;
const FULL_MS_MAX = 3_600_000;

describe("a pair of Stargates loses no acknowledged write and goes on", {
  timeout: FULL_MS_MAX,
}, () => {
  it(`whichever call to the other or to itself fails, seed ${SEED} (P1, P9)`, async () => {
    const { calls, runs, problems } = await failEveryCall(
      (meter) =>
        runPairWorkload(SEED, (site) => {
          const hosts = new Set(site.cvms.map((cvm) => site.hostOf(cvm)));
          meterCallsOfHosts(site.network, (host) => (hosts.has(host) ? meter : undefined));
        }),
      RUNS_MAX,
    );
    expect(new Set(calls).size).toBeGreaterThanOrEqual(RPC_PLACES_MIN);
    expect(runs).toBeGreaterThanOrEqual(RUNS_MAX);
    expect(problems).toEqual([]);
  });

  it(`whichever call to etcd fails, seed ${SEED} (P1, P9)`, async () => {
    const { calls, runs, problems } = await failEveryCall(
      (meter) =>
        runPairWorkload(SEED, ({ etcd }) => {
          meterCallsToEtcd(etcd, meter);
        }),
      RUNS_MAX,
    );
    expect(new Set(calls).size).toBeGreaterThanOrEqual(ETCD_PLACES_MIN);
    expect(runs).toBeGreaterThanOrEqual(RUNS_MAX);
    expect(problems).toEqual([]);
  });
});
