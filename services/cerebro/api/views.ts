/** Records as the wire shows them. */

import type { ProtectionDomain, RemoteSite } from "../../platform/wire/cerebro.ts";
import type { PdRecord, PeerRecord, RemoteRecord } from "../state/records.ts";

export function pdView(pd: PdRecord): ProtectionDomain {
  return {
    name: pd.name,
    state: pd.state,
    generation: pd.generation,
    groups: pd.groups,
    newestPointId: pd.newestPointId,
    newestPointName: pd.newestPointName,
    sourceSite: pd.sourceSite,
    createdAtMs: pd.createdAtMs,
  };
}

export function remoteView(remote: RemoteRecord, peer: PeerRecord | undefined): RemoteSite {
  return {
    name: remote.name,
    cerebros: remote.cerebros,
    stargates: remote.stargates,
    containers: remote.containers,
    site: remote.site,
    incarnation: peer?.incarnation ?? "",
    publicKey: peer?.publicKey ?? "",
    createdAtMs: remote.createdAtMs,
  };
}
