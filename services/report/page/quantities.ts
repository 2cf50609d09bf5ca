/** Quantities as a reader wants them: short, with their unit. */

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;

/** "0.4 ms", "12 ms", "3.4 s", "2 min 05 s": durations of any size. */
export function shortMs(ms: number): string {
  const size = Math.abs(ms);
  if (size === 0) return "0";
  if (size < 10) return `${trimmed(ms, size < 1 ? 2 : 1)} ms`;
  if (size < 1000) return `${Math.round(ms)} ms`;
  if (size < MINUTE_MS) return `${trimmed(ms / 1000, 1)} s`;
  const seconds = Math.round(size / 1000);
  const rest = seconds % 60 === 0 ? "" : ` ${two(seconds % 60)} s`;
  return `${ms < 0 ? "−" : ""}${Math.floor(seconds / 60)} min${rest}`;
}

/** A tick of the time axis: "500 ms", "5 s", "1:30". */
export function tickMs(ms: number): string {
  if (ms === 0) return "0";
  const sign = ms < 0 ? "−" : "";
  const size = Math.abs(ms);
  if (size < 1000) return `${sign}${size} ms`;
  if (size < 2 * MINUTE_MS && size % MINUTE_MS !== 0) return `${sign}${trimmed(size / 1000, 1)} s`;
  const seconds = Math.round(size / 1000);
  return `${sign}${Math.floor(seconds / 60)}:${two(seconds % 60)}`;
}

/** "950", "12.3 k", "1.2 M". */
export function amount(value: number): string {
  if (value < 10_000) return trimmed(value, value < 10 ? 1 : 0);
  if (value < 1_000_000) return `${trimmed(value / 1000, value < 100_000 ? 1 : 0)} k`;
  return `${trimmed(value / 1_000_000, 1)} M`;
}

/** A whole number with thin gaps between thousands. */
export function grouped(value: number): string {
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

/** Time of day in UTC: "14:02:07.113". */
export function timeOfDay(wallMs: number): string {
  const ms = ((wallMs % DAY_MS) + DAY_MS) % DAY_MS;
  const seconds = Math.floor((ms % MINUTE_MS) / 1000);
  const rest = String(Math.floor(ms % 1000)).padStart(3, "0");
  return `${two(Math.floor(ms / HOUR_MS))}:${two(Math.floor((ms % HOUR_MS) / MINUTE_MS))}:${two(seconds)}.${rest}`;
}

/** Day in UTC: "2026-11-20". By the count of days since 0000-03-01 (Howard Hinnant's algorithm). */
export function day(wallMs: number): string {
  const days = Math.floor(wallMs / DAY_MS) + 719_468;
  const era = Math.floor(days / 146_097);
  const dayOfEra = days - era * 146_097;
  const year = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  );
  const dayOfYear = dayOfEra - (365 * year + Math.floor(year / 4) - Math.floor(year / 100));
  const shifted = Math.floor((5 * dayOfYear + 2) / 153);
  const date = dayOfYear - Math.floor((153 * shifted + 2) / 5) + 1;
  const month = shifted < 10 ? shifted + 3 : shifted - 9;
  return `${year + era * 400 + (month <= 2 ? 1 : 0)}-${two(month)}-${two(date)}`;
}

function trimmed(value: number, decimals: number): string {
  return String(Number(value.toFixed(decimals))).replace("-", "−");
}

function two(value: number): string {
  return String(value).padStart(2, "0");
}
