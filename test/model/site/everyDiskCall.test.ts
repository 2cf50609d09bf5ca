/**
 * P1, P9, I15: whichever single disk call of a pair of Stargates fails, no acknowledged write is lost and
 * the pair goes on by itself. The workload of pairWorkload.ts is run once to
 * count its disk calls, then once for each of them with that call failing. Not counted, because the fake disk
 * lets no hook near them: exists, sizeBytes, space, close; and the key index, which is no disk.
 */

import { expect, it } from "vitest";
import { type CallMeter, countCalls, diskMeterHook, failNth } from "../../support/fakeNthCall.ts";
import { runPairWorkload } from "./pairWorkload.ts";

const SEED = Number(process.env["ANTIPODE_SEED"] ?? 1);
/** Fewer would mean that the workload reaches little of what it is for. */
const CALLS_MIN = 150;
const SITES_MIN = 25;

function runWorkload(meter: CallMeter): Promise<readonly string[]> {
  return runPairWorkload(SEED, (site) => {
    for (const cvm of site.cvms) site.diskOf(cvm).addHook(diskMeterHook(meter, `disk${cvm}`));
  });
}

/** Sites of all calls of the run without failures, in order. */
async function callsInOrder(): Promise<readonly string[]> {
  const order: string[] = [];
  const meter = countCalls();
  const noted: CallMeter = {
    counts: meter.counts,
    get total() {
      return meter.total;
    },
    hit: undefined,
    pass(site, error, act) {
      order.push(site);
      return meter.pass(site, error, act);
    },
  };
  expect(await runWorkload(noted)).toEqual([]);
  return order;
}

it(`loses no acknowledged write and goes on, whichever disk call fails, seed ${SEED} (P1, P9)`, {
  timeout: 300_000,
}, async () => {
  const order = await callsInOrder();
  expect(order.length).toBeGreaterThan(CALLS_MIN);
  expect(new Set(order).size).toBeGreaterThan(SITES_MIN);
  const problems: string[] = [];
  for (let n = 1; n <= order.length; n++) {
    const meter = failNth({ n });
    const what = `call ${n} of ${order.length}, ${order[n - 1] ?? ""}`;
    try {
      for (const problem of await runWorkload(meter)) problems.push(`${what}: ${problem}`);
    } catch (error) {
      problems.push(`${what}: ${String(error)}`);
    }
    expect(meter.hit, what).toBe(order[n - 1]);
  }
  expect(problems).toEqual([]);
});
