/**
 * The engine's methods as etcd's gRPC services. Requests are bounded here, before they reach the
 * core; refusals carry etcd's own statuses and messages.
 */

import { MIB } from "../base/units.ts";
import type { WireMessage } from "../base/wire.ts";
import { type Binding, type RpcStream, serveStream, serveUnary } from "../platform/rpc.ts";
import {
  KvService,
  type LeaseKeepAliveRequest,
  type LeaseKeepAliveResponse,
  LeaseService,
  Maintenance,
  make,
  PutRequest,
  StatusResponse,
  TxnRequest,
  WatchService,
} from "../platform/wire/etcd.ts";
import type { EtcdEngine } from "./engine.ts";
import { refusal } from "./refusal.ts";
import { serveWatch } from "./watchStream.ts";

/** etcd's default bound for a request. */
const REQUEST_BYTES_MAX = 1.5 * MIB;
/** The API that is served, not a release of etcd. */
const VERSION = "3.5.0-antipode";

/** Everything to hand to `Rpc.serve`. */
export function etcdBindings(engine: EtcdEngine): readonly Binding[] {
  return [...keyBindings(engine), ...leaseBindings(engine), statusBinding(engine)];
}

function keyBindings(engine: EtcdEngine): readonly Binding[] {
  return [
    serveUnary(KvService.range, (request) => engine.answer((core) => core.range(request))),
    serveUnary(KvService.put, async (request) => {
      bound(PutRequest, request);
      return engine.change((core, now) => core.put(request, now));
    }),
    serveUnary(KvService.deleteRange, (request) =>
      engine.change((core, now) => core.deleteRange(request, now)),
    ),
    serveUnary(KvService.txn, async (request) => {
      bound(TxnRequest, request);
      return engine.change((core, now) => core.txn(request, now));
    }),
    serveUnary(KvService.compact, (request) =>
      engine.change((core, now) => core.compact(request, now)),
    ),
    serveStream(WatchService.watch, (stream, context) => serveWatch(engine, stream, context)),
  ];
}

function leaseBindings(engine: EtcdEngine): readonly Binding[] {
  return [
    serveUnary(LeaseService.grant, (request) =>
      engine.change((core, now) => core.leaseGrant(request, now)),
    ),
    serveUnary(LeaseService.revoke, (request) =>
      engine.change((core, now) => core.leaseRevoke(request, now)),
    ),
    serveUnary(LeaseService.timeToLive, (request) =>
      engine.answer((core, now) => core.leaseTimeToLive(request, now)),
    ),
    serveUnary(LeaseService.leases, () => engine.answer((core) => core.leaseLeases())),
    serveStream(LeaseService.keepAlive, (stream) => serveKeepAlive(engine, stream)),
  ];
}

async function serveKeepAlive(
  engine: EtcdEngine,
  stream: RpcStream<LeaseKeepAliveResponse, LeaseKeepAliveRequest>,
): Promise<void> {
  for await (const request of stream.incoming) await stream.send(engine.keepAlive(request));
}

function statusBinding(engine: EtcdEngine): Binding {
  return serveUnary(Maintenance.status, () =>
    engine.answer(() => {
      const header = engine.core.header();
      return make(StatusResponse, {
        header,
        version: VERSION,
        dbSize: engine.sizeBytes,
        leader: header.memberId,
        raftIndex: String(header.revision),
        raftTerm: header.raftTerm,
      });
    }),
  );
}

/** As etcd bounds the encoded request. */
function bound<T>(type: WireMessage<T>, request: T): void {
  if (type.size(request) > REQUEST_BYTES_MAX) throw refusal.requestTooLarge();
}
