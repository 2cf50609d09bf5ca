/**
 * Finds the process that a service already has: the recorded one, or one that genesis started but
 * did not live to record. The latter is known by the port it holds and by its command line,
 * which ends with the path of its configuration that no other service of any lab has.
 */

import type { Processes, ProcessHandle } from "../platform/processes.ts";
import type { ServiceSpec } from "./layout.ts";

/** The living process of a service, or `undefined`. */
export async function findProcess(
  processes: Processes,
  spec: ServiceSpec,
  recorded: ProcessHandle | undefined,
): Promise<ProcessHandle | undefined> {
  if (recorded !== undefined && (await processes.isAlive(recorded))) return recorded;
  return findUnrecorded(processes, spec);
}

/** The process that holds the service's port, when it is that service. */
export async function findUnrecorded(
  processes: Processes,
  spec: ServiceSpec,
): Promise<ProcessHandle | undefined> {
  const holder = await processes.whoListens(spec.address.host, spec.address.port);
  const pid = Number(/\(pid (\d+)\)$/.exec(holder ?? "")?.[1] ?? 0);
  if (pid === 0) return undefined;
  const found = await processes.find(pid);
  return found?.commandLine.endsWith(spec.args.join(" ")) ? found.handle : undefined;
}
