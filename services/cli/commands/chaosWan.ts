/**
 * Calls to the wan process of many tasks at once: they share one client, which nobody closes before the
 * command ends. A wan that has just been killed comes back within moments; every order is idempotent.
 */

import { codeOf } from "../../base/errors.ts";
import type { Method } from "../../base/wire.ts";
import type { LabWorld, OpenLab } from "../../lab/index.ts";

const CALL_MS = 3000;
/** Genesis starts a dead wan again within this; a frozen one goes on when its lease ends. */
const PATIENCE_MS = 10_000;
const RETRY_INTERVAL_MS = 150;

/** @throws AntipodeError `PEER_UNREACHABLE`, `DEADLINE_EXCEEDED` when it does not come back; its own */
export async function callWan<Q, A>(
  world: Pick<LabWorld, "clock" | "rpc">,
  open: OpenLab,
  method: Method<Q, A, "unary">,
  request: Q,
): Promise<A> {
  const untilMs = world.clock.now() + PATIENCE_MS;
  for (;;) {
    try {
      const options = { deadlineMs: CALL_MS };
      return await world.rpc.connect(open.plan.wan).unary(method, request, options);
    } catch (error) {
      const code = codeOf(error);
      const isAway = code === "PEER_UNREACHABLE" || code === "DEADLINE_EXCEEDED";
      if (!isAway || world.clock.now() > untilMs) throw error;
    }
    await world.clock.sleep(RETRY_INTERVAL_MS);
  }
}
