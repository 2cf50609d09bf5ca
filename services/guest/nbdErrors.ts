/**
 * Failures of NBD operations as typed errors. `details.errno` is what the server said, if it said
 * anything; `details.indeterminate` tells whether the operation may have taken effect all the same.
 */

import { AntipodeError, type ErrorCode, isErrorCode, nbdErrno } from "../base/errors.ts";
import type { SentOperation } from "./nbdReplies.ts";

/** Is it unknown whether the operation that failed so took effect? */
export function isIndeterminate(error: unknown): boolean {
  return error instanceof AntipodeError && error.details["indeterminate"] === true;
}

/** The connection is over. */
export function lostError(message: string, indeterminate: boolean, cause?: Error): AntipodeError {
  const full = cause === undefined ? message : `${message}: ${cause.message}`;
  return new AntipodeError("PEER_UNREACHABLE", full, { indeterminate }, cause);
}

/** The server does not speak NBD; what was outstanding is unknown. */
export function malformed(message: string): AntipodeError {
  return new AntipodeError("MESSAGE_INVALID", message, { indeterminate: true });
}

const CODE_BY_ERRNO: Readonly<Record<number, ErrorCode>> = {
  [nbdErrno.EPERM]: "READ_ONLY",
  [nbdErrno.EIO]: "IO_FAILED",
  [nbdErrno.ENOMEM]: "OVERLOADED",
  [nbdErrno.EINVAL]: "INVALID_ARGUMENT",
  [nbdErrno.ENOSPC]: "DISK_FULL",
  [nbdErrno.EOVERFLOW]: "INVALID_ARGUMENT",
  [nbdErrno.ENOTSUP]: "UNIMPLEMENTED",
  [nbdErrno.ESHUTDOWN]: "NOT_OWNER",
};

/** With any other errno a write may have reached some of its bytes, or all, or may yet. */
const REFUSED_BEFORE_IT_BEGAN: ReadonlySet<number> = new Set([
  nbdErrno.EPERM,
  nbdErrno.EINVAL,
  nbdErrno.EOVERFLOW,
  nbdErrno.ENOTSUP,
]);

/** The server's refusal: by the code that ours put before the text, else by errno. */
export function replyError(operation: SentOperation): AntipodeError {
  const { errno, message, offset, length } = operation;
  const named = /^([A-Z_]+): /.exec(message)?.[1];
  const code =
    named !== undefined && isErrorCode(named) ? named : (CODE_BY_ERRNO[errno] ?? "IO_FAILED");
  const text = named === code ? message.slice(named.length + 2) : message;
  const said = text === "" ? `the NBD server refused it with errno ${errno}` : text;
  // It may have been deleted, or hidden, while the operation was under way.
  const indeterminate = !REFUSED_BEFORE_IT_BEGAN.has(errno) || code === "VDISK_NOT_FOUND";
  return new AntipodeError(code, said, { errno, offset, length, indeterminate });
}
