/** A failure as people and programs see it, with the exit code of the process. */

import { AntipodeError, errorTable, exitCode, messageOf } from "../base/errors.ts";

/** Exit code of what should never happen. */
const BUG = 1;

export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly remedy: string;
  readonly details: Readonly<Record<string, string | number | boolean>>;
  readonly exit: number;
}

/** Any thrown value as a failure. */
export function failureOf(error: unknown): Failure {
  if (error instanceof AntipodeError)
    return {
      code: error.code,
      message: error.message,
      remedy: remedyOf(error),
      details: error.details,
      exit: exitCode[errorTable[error.code].exit],
    };
  return {
    code: "INTERNAL",
    message: messageOf(error),
    remedy: errorTable.INTERNAL.remedy,
    details: {},
    exit: BUG,
  };
}

/** The table's sentence, with the log file that the failure names. */
function remedyOf(error: AntipodeError): string {
  const { logFile } = error.details;
  return typeof logFile === "string" ? `${error.remedy} It is ${logFile}` : error.remedy;
}

/** What people read on standard error. */
export function failureText(failure: Failure): string {
  return [
    `antipode: ${failure.message}`,
    `  code: ${failure.code}`,
    `  what to do: ${failure.remedy}`,
  ].join("\n");
}

/** What programs read on standard output. */
export function failureJson(failure: Failure): string {
  const { code, message, remedy, details } = failure;
  return JSON.stringify({ error: { code, message, remedy, details } });
}
