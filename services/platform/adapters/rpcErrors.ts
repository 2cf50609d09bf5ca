/**
 * Failures across gRPC. A handler's AntipodeError travels as its status of the error table, its
 * message, and two trailing metadata entries: `antipode-code`, and `antipode-details` as JSON in
 * ASCII. What arrives without `antipode-code` is a bare status (platform/rpcStatus.ts).
 */

import { Metadata, type StatusObject } from "@grpc/grpc-js";
import {
  AntipodeError,
  type ErrorDetails,
  errorTable,
  grpcStatus,
  isErrorCode,
  messageOf,
} from "../../base/errors.ts";
import { WireError } from "../../base/wire.ts";
import type { Log } from "../log.ts";
import { RpcStatusError } from "../rpc.ts";
import { errorOfStatus } from "../rpcStatus.ts";
import { DETAILS_TEXT_BYTES_MAX, MESSAGE_TEXT_CHARS_MAX } from "./rpcOptions.ts";

const CODE_KEY = "antipode-code";
const DETAILS_KEY = "antipode-details";

/** What a server answers with: a gRPC status number, a text and trailing metadata. */
export interface Answer {
  readonly code: number;
  readonly details: string;
  readonly metadata: Metadata;
}

/** The answer for whatever a handler threw. An error that is not one of ours is logged here. */
export function answerOf(error: unknown, path: string, log: Log | undefined): Answer {
  if (error instanceof RpcStatusError)
    return { code: error.statusCode, details: headerText(error.message), metadata: new Metadata() };
  const known = asAntipodeError(error);
  if (known === undefined) {
    log?.error(
      { event: "rpc.handlerFailed", path, err: error },
      "a handler threw an unknown error",
    );
    return answerOf(new AntipodeError("INTERNAL", messageOf(error), { path }), path, log);
  }
  const metadata = new Metadata();
  metadata.set(CODE_KEY, known.code);
  metadata.set(DETAILS_KEY, detailsText(known.details));
  return {
    code: grpcStatus[errorTable[known.code].grpc],
    details: headerText(known.message),
    metadata,
  };
}

/** An AntipodeError as it is; bytes that are no message become `MESSAGE_INVALID`. */
export function asAntipodeError(error: unknown): AntipodeError | undefined {
  if (error instanceof AntipodeError) return error;
  if (error instanceof WireError)
    return new AntipodeError("MESSAGE_INVALID", error.message, {}, error);
  return undefined;
}

/**
 * The error that a caller sees for a status other than OK.
 * @param where address and path of the call
 */
export function errorOfAnswer(status: StatusObject, where: string): AntipodeError {
  const code = status.metadata.get(CODE_KEY)[0]?.toString() ?? "";
  if (!isErrorCode(code)) return errorOfStatus(status.code, status.details, where);
  const details = detailsOf(status.metadata.get(DETAILS_KEY)[0]?.toString() ?? "{}");
  return new AntipodeError(code, status.details, details);
}

function detailsText(details: ErrorDetails): string {
  const text = JSON.stringify(details).replace(
    /[^ -~]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  return text.length <= DETAILS_TEXT_BYTES_MAX
    ? text
    : JSON.stringify({ detailsTooLong: text.length });
}

/** Details come from another process: anything that is not a flat record of them is dropped. */
function detailsOf(text: string): ErrorDetails {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return { detailsUnreadable: true };
  }
  if (typeof parsed !== "object" || parsed === null) return {};
  const entries = Object.entries(parsed).filter(([, value]) =>
    ["string", "number", "boolean"].includes(typeof value),
  );
  return Object.fromEntries(entries);
}

/** Bounded, and without lone surrogates, which the library cannot encode. */
function headerText(message: string): string {
  return Buffer.from(message.slice(0, MESSAGE_TEXT_CHARS_MAX), "utf8").toString("utf8");
}
