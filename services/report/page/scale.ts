/** Scales of a chart: from values to pixels, with round ticks. Pure. */

export interface Scale {
  /** Pixel of a value. */
  readonly at: (value: number) => number;
  readonly ticks: readonly number[];
}

interface Range {
  readonly from: number;
  readonly to: number;
}

/** Steps between ticks of time, in ms: 1, 2, 5 below a second, then what clocks have. */
const TIME_STEPS_MS = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 15_000, 30_000, 60_000, 120_000,
  300_000, 600_000, 900_000, 1_800_000, 3_600_000, 7_200_000, 14_400_000, 43_200_000,
] as const;
const LOG_FLOOR = 0.01;

/** Time from left to right. @param ticksMax as many as have room */
export function timeScale(domain: Range, pixels: Range, ticksMax: number): Scale {
  const span = Math.max(1, domain.to - domain.from);
  const step = TIME_STEPS_MS.find((one) => span / one <= ticksMax) ?? span;
  return {
    at: linear({ from: domain.from, to: domain.from + span }, pixels),
    ticks: multiples(domain, step),
  };
}

/** From 0 up to a round number above `max`. */
export function amountScale(max: number, pixels: Range, ticksMax = 4): Scale {
  const top = max > 0 ? max : 1;
  const rough = top / ticksMax;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5, 10].find((one) => one * power >= rough) ?? 10) * power;
  const to = Math.ceil(top / step - 1e-9) * step;
  return { at: linear({ from: 0, to }, pixels), ticks: multiples({ from: 0, to }, step) };
}

/** From 0 up, with ticks that are round in the unit in which one says them. */
export function durationScale(maxMs: number, pixels: Range, ticksMax = 4): Scale {
  const step = TIME_STEPS_MS.find((one) => maxMs / one <= ticksMax) ?? maxMs / ticksMax;
  const to = Math.max(1, Math.ceil(maxMs / step - 1e-9)) * step;
  return { at: linear({ from: 0, to }, pixels), ticks: multiples({ from: 0, to }, step) };
}

/** Powers of ten around all values. */
export function logScale(min: number, max: number, pixels: Range): Scale {
  const from = Math.floor(Math.log10(Math.max(min, LOG_FLOOR)));
  const to = Math.max(from + 1, Math.ceil(Math.log10(Math.max(max, LOG_FLOOR)) - 1e-9));
  const place = linear({ from, to }, pixels);
  return {
    at: (value) => place(Math.log10(Math.max(value, LOG_FLOOR))),
    ticks: Array.from({ length: to - from + 1 }, (_, index) => 10 ** (from + index)),
  };
}

function linear(domain: Range, pixels: Range): (value: number) => number {
  const factor = (pixels.to - pixels.from) / (domain.to - domain.from);
  return (value) => pixels.from + (value - domain.from) * factor;
}

function multiples({ from, to }: Range, step: number): readonly number[] {
  const first = Math.ceil(from / step - 1e-9);
  const last = Math.floor(to / step + 1e-9);
  return Array.from(
    { length: Math.max(0, last - first + 1) },
    (_, index) => (first + index) * step,
  );
}
