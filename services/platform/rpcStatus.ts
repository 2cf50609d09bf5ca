/**
 * What a bare gRPC status means to a caller: a status that came without antipode's own code, from
 * the transport itself or from a peer that is not antipode. Pure, so that real and fake networks
 * tell callers the same.
 */

import { AntipodeError, type ErrorCode, grpcStatus } from "../base/errors.ts";

/**
 * @param statusCode gRPC status number, not 0
 * @param where address and method, for the message
 */
export function errorOfStatus(
  statusCode: number,
  grpcMessage: string,
  where: string,
): AntipodeError {
  const code = codeOfStatus(statusCode, grpcMessage);
  return new AntipodeError(code, `${where}: ${grpcMessage}`, {
    where,
    grpcStatus: statusCode,
    grpcMessage,
  });
}

function codeOfStatus(statusCode: number, grpcMessage: string): ErrorCode {
  switch (statusCode) {
    case grpcStatus.deadlineExceeded:
      return "DEADLINE_EXCEEDED";
    case grpcStatus.unimplemented:
      return "UNIMPLEMENTED";
    case grpcStatus.unavailable:
    // The peer's side of the connection was torn down: nobody here cancelled.
    case grpcStatus.cancelled:
      return "PEER_UNREACHABLE";
    case grpcStatus.internal:
      return grpcMessage.startsWith("Received RST_STREAM") ? "PEER_UNREACHABLE" : "PEER_REFUSED";
    case grpcStatus.resourceExhausted:
      return grpcMessage.startsWith("Received message larger") ? "MESSAGE_INVALID" : "PEER_REFUSED";
    default:
      return "PEER_REFUSED";
  }
}
