/**
 * Assertions that stay on in production. A failed assertion is a bug in antipode: the process must
 * end rather than go on with state that is known to be wrong.
 */

/** A bug. Never caught except by `main.ts`, which logs it and ends the process. */
export class InvariantViolation extends Error {
  override readonly name = "InvariantViolation";
}

/**
 * States a positive fact that must hold here.
 * @param statement what is true when the program is right, e.g. "lsn is dense"
 * @throws InvariantViolation when it does not hold
 */
export function assert(condition: boolean, statement: string): asserts condition {
  if (!condition) throw new InvariantViolation(`violated: ${statement}`);
}

/** For the branch that a complete `switch` can never take. */
export function unreachable(value: never): never {
  throw new InvariantViolation(`violated: value is one of the known kinds (${String(value)})`);
}

/**
 * Narrows away `undefined` where the surrounding code has made it impossible.
 * @throws InvariantViolation when the value is missing
 */
export function present<T>(value: T | undefined, statement: string): T {
  if (value === undefined) throw new InvariantViolation(`violated: ${statement}`);
  return value;
}
