/**
 * Runs a scenario once to learn its calls, then once for each of them with that call failing: before it has
 * its effect, or after, with only the answer lost. All of them are many, so a test runs a sample by default:
 * the first call of every place in the code that makes calls, and then evenly spread ones up to a number.
 * ANTIPODE_EVERY_CALL=1 runs all.
 */

import type { FakeNetwork } from "../support/fakeNetwork.ts";
import type { CallMeter } from "../support/fakeNthCall.ts";
import { countCalls, failNth, meteredCoordinator, meteredRpc } from "../support/fakeNthCall.ts";
import type { MemoryEtcd } from "../support/memoryCoordinator.ts";

const IS_FULL = process.env["ANTIPODE_EVERY_CALL"] === "1";

/** A call of a scenario, told by its number, and how it fails. */
interface Failing {
  readonly n: number;
  readonly when: "before" | "after";
}

/** What was run. */
export interface EveryCall {
  /** Where the calls of the run without failures come from, in order. */
  readonly calls: readonly string[];
  /** Runs with a failing call. */
  readonly runs: number;
  /** What went wrong, with the call that had failed. */
  readonly problems: readonly string[];
}

/**
 * Fails the calls of a scenario one after the other.
 * @param scenario runs it anew over ports that pass through the meter; what is wrong afterwards, in words
 * @param runsMax runs of a sample, unless there are more places that calls come from
 */
export async function failEveryCall(
  scenario: (meter: CallMeter) => Promise<readonly string[]>,
  runsMax: number,
): Promise<EveryCall> {
  const calls: string[] = [];
  const sound = await scenario(noting(countCalls(), calls));
  const problems = sound.map((problem) => `no call failed: ${problem}`);
  const failing = IS_FULL ? allOf(calls) : sampleOf(calls, runsMax);
  for (const { n, when } of failing) {
    const what = `call ${n} of ${calls.length}, ${when} its effect, ${calls[n - 1] ?? ""}`;
    const meter = failNth({ n, when });
    try {
      for (const problem of await scenario(meter)) problems.push(`${what}: ${problem}`);
    } catch (error) {
      problems.push(`${what}: ${String(error)}`);
    }
    if (meter.hit !== calls[n - 1]) problems.push(`${what}: ${meter.hit ?? "nothing"} failed`);
  }
  return { calls, runs: failing.length, problems };
}

function allOf(calls: readonly string[]): readonly Failing[] {
  return calls.flatMap((_, i) => [
    { n: i + 1, when: "before" as const },
    { n: i + 1, when: "after" as const },
  ]);
}

function sampleOf(calls: readonly string[], runsMax: number): readonly Failing[] {
  const all = allOf(calls);
  const places = new Set<string>();
  const chosen = all.filter(({ n, when }) => {
    const place = `${calls[n - 1] ?? ""} ${when}`;
    return !places.has(place) && places.add(place);
  });
  const others = all.filter((one) => !chosen.includes(one));
  const stride = others.length / Math.max(1, runsMax - chosen.length);
  if (runsMax <= chosen.length) return chosen;
  const spread = Array.from(
    { length: Math.min(others.length, runsMax - chosen.length) },
    (_, i) => others[Math.floor(i * Math.max(1, stride))],
  );
  return [...chosen, ...spread.filter((one) => one !== undefined)];
}

/** Counts, and writes down where each call comes from. */
function noting(meter: CallMeter, calls: string[]): CallMeter {
  return {
    counts: meter.counts,
    get total() {
      return meter.total;
    },
    hit: undefined,
    pass(site, error, act) {
      calls.push(site);
      return meter.pass(site, error, act);
    },
  };
}

/** From now on every call that a host of the network makes passes through the meter, told apart by host. */
export function meterCallsOfHosts(
  network: FakeNetwork,
  meterOf: (host: string) => CallMeter | undefined,
): void {
  const plain = network.host.bind(network);
  network.host = (name) => {
    const host = plain(name);
    const meter = meterOf(name);
    return meter === undefined ? host : { ...host, rpc: meteredRpc(host.rpc, meter) };
  };
}

/** From now on every request of a new connection to this etcd passes through the meter. */
export function meterCallsToEtcd(etcd: MemoryEtcd, meter: CallMeter): void {
  const plain = etcd.connect.bind(etcd);
  etcd.connect = () => {
    const connection = plain();
    return { ...connection, ...meteredCoordinator(connection, meter) };
  };
}
