/**
 * Does a service answer? A cheap call of its own API: only then is it ready, not when its port is
 * open. Any typed refusal (no leader yet, no etcd yet) is an answer too: the process is up.
 */

import { codeOf } from "../base/errors.ts";
import type { Address, Net } from "../platform/net.ts";
import type { Rpc } from "../platform/rpc.ts";
import { CerebroService } from "../platform/wire/cerebro.ts";
import { Maintenance } from "../platform/wire/etcd.ts";
import { VdiskService } from "../platform/wire/stargate.ts";
import { WanService } from "../platform/wire/wan.ts";
import type { ProbeKind } from "./layout.ts";

/** A process that is only slow answers within this; a frozen one costs no more. */
const PROBE_TIMEOUT_MS = 2000;

export interface ProbeWorld {
  readonly net: Net;
  readonly rpc: Rpc;
}

/** True when the service at this address answers now. */
export async function answers(
  world: ProbeWorld,
  kind: ProbeKind,
  address: Address,
): Promise<boolean> {
  try {
    // A refused connection is noticed at once here, while gRPC backs off for a second.
    const connection = await world.net.connect(address, PROBE_TIMEOUT_MS);
    connection.onClose(() => undefined);
    connection.destroy();
    if (kind !== "tcp") await call(world.rpc, kind, address);
    return true;
  } catch (error) {
    const code = codeOf(error);
    if (code === undefined) throw error;
    return code !== "PEER_UNREACHABLE" && code !== "DEADLINE_EXCEEDED";
  }
}

async function call(rpc: Rpc, kind: Exclude<ProbeKind, "tcp">, address: Address): Promise<void> {
  const client = rpc.connect(address);
  const options = { deadlineMs: PROBE_TIMEOUT_MS };
  try {
    switch (kind) {
      case "stargate":
        await client.unary(VdiskService.listContainers, {}, options);
        return;
      case "cerebro":
        await client.unary(CerebroService.leader, {}, options);
        return;
      case "etcd":
        await client.unary(Maintenance.status, {}, options);
        return;
      case "wan":
        await client.unary(WanService.show, {}, options);
        return;
    }
  } finally {
    // Not kept: genesis talks to a service only while it starts.
    client.close();
  }
}
