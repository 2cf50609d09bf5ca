/** What the process that runs seeds tells of one. */

/** A verdict that was violated. */
export interface Violation {
  readonly promise: string;
  readonly name: string;
  readonly text: string;
}

export interface SeedLine {
  readonly seed: number;
  readonly violated: readonly Violation[];
  /** It lacks what the bug needs, and was not run. */
  readonly passedOver: boolean;
}

/** @throws Error for a line of another form */
export function parseSeedLine(text: string): SeedLine {
  const line: unknown = JSON.parse(text);
  if (typeof line !== "object" || line === null || !("seed" in line) || !("violated" in line))
    throw new Error(`no line of a seed: ${text}`);
  return line as SeedLine;
}
