/**
 * Sizes of the data path, and readable forms of quantities. Sizes are from the product's public
 * facts: fingerprints are taken per 16 KiB inside extents of 1 MiB.
 */

import { assert } from "./assert.ts";

export const KIB = 1024;
export const MIB = 1024 * KIB;
export const GIB = 1024 * MIB;
export const TIB = 1024 * GIB;

/** vDisk address space is fingerprinted, compressed and sent in units of this size. */
export const CHUNK_SIZE_BYTES = 16 * KIB;
/** Children of every block-map node; 64 chunks make an extent of 1 MiB. */
export const NODE_FANOUT = 64;
export const EXTENT_SIZE_BYTES = CHUNK_SIZE_BYTES * NODE_FANOUT;
/** SHA-256. */
export const FINGERPRINT_SIZE_BYTES = 32;
/** Smallest unit of a block client's request. */
export const SECTOR_SIZE_BYTES = 512;

assert(EXTENT_SIZE_BYTES === MIB, "an extent is 1 MiB");

const SIZE_UNITS: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  k: KIB,
  kib: KIB,
  m: MIB,
  mib: MIB,
  g: GIB,
  gib: GIB,
  t: TIB,
  tib: TIB,
};

/**
 * Parses "10GiB", "512M", "4096": binary units, case does not matter.
 * @returns bytes, or `undefined` when the text is not a size or exceeds a safe integer
 */
export function parseSize(text: string): number | undefined {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*$/.exec(text);
  const unit = SIZE_UNITS[(match?.[2] ?? "?").toLowerCase()];
  if (match?.[1] === undefined || unit === undefined) return undefined;
  const bytes = Number(match[1]) * unit;
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** "512 B", "1.5 MiB", "2.0 TiB". */
export function formatBytes(bytes: number): string {
  if (bytes < KIB) return `${bytes} B`;
  const steps: readonly (readonly [number, string])[] = [
    [TIB, "TiB"],
    [GIB, "GiB"],
    [MIB, "MiB"],
    [KIB, "KiB"],
  ];
  const [unit, name] = steps.find(([size]) => bytes >= size) ?? [1, "B"];
  return `${(bytes / unit).toFixed(1)} ${name}`;
}

/** "12 ms", "3.4 s", "2 m 05 s". */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)} m ${String(seconds % 60).padStart(2, "0")} s`;
}
