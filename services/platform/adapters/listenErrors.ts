/** What a failed `listen` means, for TCP and gRPC servers alike. */

import { AntipodeError } from "../../base/errors.ts";
import type { Address } from "../net.ts";
import { portHolder } from "./portHolder.ts";

/**
 * `PORT_IN_USE` that names the holder, or `INVALID_ARGUMENT` for an address that this machine does
 * not have or may not use.
 * @param errno the system's name of the failure, e.g. `EADDRINUSE`
 */
export async function listenError(
  address: Address,
  errno: string,
  cause?: unknown,
): Promise<AntipodeError> {
  const where = `${address.host}:${address.port}`;
  const details = { host: address.host, port: address.port, errno };
  if (errno !== "EADDRINUSE")
    return new AntipodeError(
      "INVALID_ARGUMENT",
      `cannot listen on ${where}: ${errno}`,
      details,
      cause,
    );
  const holder = await portHolder(address.host, address.port);
  const message = `${where} is in use by ${holder ?? "a process that the system does not name"}`;
  return new AntipodeError(
    "PORT_IN_USE",
    message,
    holder === undefined ? details : { ...details, holder },
    cause,
  );
}
