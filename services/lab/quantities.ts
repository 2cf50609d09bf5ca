/** Durations and rates as people write them on a command line, and back. */

const DURATION_UNITS: Readonly<Record<string, number>> = {
  us: 0.001,
  ms: 1,
  s: 1000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
};

const RATE_UNITS: Readonly<Record<string, number>> = {
  bit: 1,
  kbit: 1e3,
  mbit: 1e6,
  gbit: 1e9,
  tbit: 1e12,
  // As tc and iperf write them; bytes are refused, since "1MB" is a frequent slip for "1Mbit".
  k: 1e3,
  m: 1e6,
  g: 1e9,
};

/** Words for "no limit". */
const UNLIMITED = new Set(["0", "unlimited", "none"]);

function parseQuantity(text: string, units: Readonly<Record<string, number>>): number | undefined {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]+)\s*$/.exec(text);
  const unit = (match?.[2] ?? "").toLowerCase();
  const scale = Object.hasOwn(units, unit) ? units[unit] : undefined;
  if (match?.[1] === undefined || scale === undefined) return undefined;
  const value = Number(match[1]) * scale;
  return Number.isFinite(value) ? value : undefined;
}

/**
 * Parses "5ms", "1.5s", "250us", "2m".
 * @returns milliseconds, or `undefined` when the text is no duration; a bare number has no unit, so
 *   it is none, except "0"
 */
export function parseDuration(text: string): number | undefined {
  return text.trim() === "0" ? 0 : parseQuantity(text, DURATION_UNITS);
}

/**
 * Parses "1gbit", "100Mbit", "1.5g", "unlimited": decimal units, as networks count.
 * @returns bits a second, 0 for no limit, or `undefined` when the text is no rate
 */
export function parseRate(text: string): number | undefined {
  if (UNLIMITED.has(text.trim().toLowerCase())) return 0;
  const rate = parseQuantity(text, RATE_UNITS);
  return rate === undefined ? undefined : Math.round(rate);
}

/** "1 Gbit/s", "1.5 Mbit/s", "unlimited". */
export function formatRate(bitsPerSecond: number): string {
  if (bitsPerSecond === 0) return "unlimited";
  const steps: readonly (readonly [number, string])[] = [
    [1e12, "Tbit/s"],
    [1e9, "Gbit/s"],
    [1e6, "Mbit/s"],
    [1e3, "kbit/s"],
  ];
  const [unit, name] = steps.find(([size]) => bitsPerSecond >= size) ?? [1, "bit/s"];
  return `${Number((bitsPerSecond / unit).toFixed(2))} ${name}`;
}
