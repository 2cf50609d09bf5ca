/**
 * A scenario made small enough for seconds of real time: rates of writes, sizes of disks, what is written
 * of them, bandwidths of links and writes of steady states are all divided by one number, so a replication
 * takes as long as in the file and faults strike it in the same phase. Times, latencies, sites and CVMs stay.
 */

import { assert } from "../../../services/base/assert.ts";
import { MIB } from "../../../services/base/units.ts";
import type { Scenario } from "../../../services/chaos/index.ts";
import { BLOCK_BYTES } from "../../../services/guest/index.ts";

/** Above it the writers of the library would not write once a second. */
export const SCALE_MAX = 64;
export const SCALE_DEFAULT = 8;
/** The least that a link can have (services/wan/config.ts). */
const BITS_PER_SECOND_MIN = 1000;
/** Blocks that a writer needs to write more than the same one. */
const SPAN_BYTES_MIN = 64 * BLOCK_BYTES;

/** @param scale from 1, which changes nothing, to `SCALE_MAX` */
export function scaled(scenario: Scenario, scale: number): Scenario {
  assert(Number.isInteger(scale) && scale >= 1 && scale <= SCALE_MAX, "a scale is a whole number");
  if (scale === 1) return scenario;
  const rate = (bits: number): number =>
    bits === 0 ? 0 : Math.max(BITS_PER_SECOND_MIN, Math.round(bits / scale));
  const steps = (bytes: number, unit: number): number => Math.floor(bytes / scale / unit) * unit;
  return {
    ...scenario,
    description: `${scenario.description} ${scaleText(scale)}`.trim(),
    links: scenario.links.map((link) =>
      link.bitsPerSecond === undefined
        ? link
        : { ...link, bitsPerSecond: rate(link.bitsPerSecond) },
    ),
    protection: scenario.protection.map((one) => ({
      ...one,
      vdisks: one.vdisks.map(({ name, sizeBytes }) => ({
        name,
        sizeBytes: Math.min(sizeBytes, Math.max(MIB, steps(sizeBytes, MIB))),
      })),
    })),
    workloads: scenario.workloads.map((one) => ({
      ...one,
      ratePerSecond: one.ratePerSecond / scale,
      spanBytes: Math.min(
        one.spanBytes,
        Math.max(SPAN_BYTES_MIN, steps(one.spanBytes, BLOCK_BYTES)),
      ),
    })),
    steadyState: scenario.steadyState.map((one) => ({
      ...one,
      writes: Math.ceil(one.writes / scale),
    })),
  };
}

/** In words, for people who read a result. */
export function scaleText(scale: number): string {
  return scale === 1
    ? ""
    : `Simulated at 1:${scale}: rates, sizes, bandwidths and steady writes are the file's divided by ${scale}.`;
}
