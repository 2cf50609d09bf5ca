/**
 * Requests to the genesis of a running lab that outlast its death: whoever finds it dead starts it
 * again and asks once more. So a request may be carried out twice; those that are asked here may be:
 * what they do to a service holds however often it is done.
 */

import { codeOf } from "../base/errors.ts";
import type { Method } from "../base/wire.ts";
import { type OpenLab, openRunningLab } from "./open.ts";
import type { LabWorld } from "./world.ts";

/** A genesis that is started again, perhaps by another command, answers well within this. */
const PATIENCE_MS = 15_000;
const RETRY_INTERVAL_MS = 100;
/** It may end or start all services of a site. */
const CALL_TIMEOUT_MS = 15_000;

/** @throws AntipodeError `LAB_NOT_RUNNING`; `PEER_UNREACHABLE` when it cannot be brought back; its own */
export async function callGenesis<Q, A>(
  world: LabWorld,
  open: OpenLab,
  method: Method<Q, A, "unary">,
  request: Q,
  signal?: AbortSignal,
): Promise<A> {
  const untilMs = world.clock.now() + PATIENCE_MS;
  for (;;) {
    try {
      const options = { deadlineMs: CALL_TIMEOUT_MS, ...(signal && { signal }) };
      return await world.rpc.connect(open.plan.genesis).unary(method, request, options);
    } catch (error) {
      if (codeOf(error) !== "PEER_UNREACHABLE" || world.clock.now() > untilMs) throw error;
    }
    await openRunningLab(world, open.directory);
    await world.clock.sleep(RETRY_INTERVAL_MS, signal);
  }
}
