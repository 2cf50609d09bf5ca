/** What a promise came to, as a value: for assertions on both ways of ending. */

import { AntipodeError, type ErrorCode } from "../../services/base/errors.ts";

/** The AntipodeError that the act fails with; anything else fails the test. */
export async function failureOf(act: Promise<unknown>): Promise<AntipodeError> {
  try {
    await act;
  } catch (error) {
    if (error instanceof AntipodeError) return error;
    throw error;
  }
  throw new Error("it was expected to fail and did not");
}

/** The code that the act fails with. */
export async function codeOfFailure(act: Promise<unknown>): Promise<ErrorCode> {
  return (await failureOf(act)).code;
}
