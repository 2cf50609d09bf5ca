/**
 * Fails exactly the n-th call of a port: run a workload once with `countCalls` to learn how many calls
 * there are and from where, then once for each n with `failNth`. Calls are told apart by operation and
 * by class of path, so that a run can fail every call of one site, or say which sites were reached.
 *
 * The wrappers count what leaves a component through its port. For a fake disk take `diskMeterHook`
 * instead: there a failed sync then drops its dirty pages, as a real one does.
 */

import { AntipodeError } from "../../services/base/errors.ts";
import type { Method } from "../../services/base/wire.ts";
import type { Coordinator } from "../../services/platform/coordinator.ts";
import type { Disk, DiskFile } from "../../services/platform/disk.ts";
import type { Rpc, RpcClient, RpcStream } from "../../services/platform/rpc.ts";
import { type DiskHook, failed } from "./fakeDiskGate.ts";

/** Counts calls, and fails one of them or none. */
export interface CallMeter {
  /** Calls so far, by site. */
  readonly counts: ReadonlyMap<string, number>;
  readonly total: number;
  /** Where the call that failed came from. */
  readonly hit: string | undefined;
  /** Carries a call out, or fails it with this error, before or after it took effect. */
  pass<T>(site: string, error: () => AntipodeError, act: () => Promise<T>): Promise<T>;
}

export interface NthCall {
  /** Which call fails, from 1. */
  readonly n: number;
  /** Only calls of this site count; all do by default. */
  readonly site?: string;
  /** Whether the call has its effect all the same and only its answer is lost. No by default. */
  readonly when?: "before" | "after";
}

/** Counts and fails nothing. */
export function countCalls(): CallMeter {
  return createMeter(undefined);
}

/** Counts, and fails the n-th call. */
export function failNth(plan: NthCall): CallMeter {
  return createMeter(plan);
}

function createMeter(plan: NthCall | undefined): CallMeter {
  const counts = new Map<string, number>();
  let total = 0;
  let hit: string | undefined;
  const isNth = (site: string): boolean => {
    total += 1;
    const ofSite = (counts.get(site) ?? 0) + 1;
    counts.set(site, ofSite);
    if (plan === undefined || plan.n !== (plan.site === undefined ? total : ofSite)) return false;
    return plan.site === undefined || plan.site === site;
  };
  return {
    counts,
    get total() {
      return total;
    },
    get hit() {
      return hit;
    },
    async pass(site, error, act) {
      if (!isNth(site)) return act();
      hit = site;
      if (plan?.when === "after") await act();
      throw error();
    },
  };
}

/** A path without what tells files of one kind apart: numbers and identities. */
export function pathClass(path: string): string {
  return path.replace(/[0-9a-f]{8,}|\d+/g, "#");
}

/** For `addHook` of a fake disk. */
export function diskMeterHook(meter: CallMeter, name = "disk"): DiskHook {
  return (operation, path) =>
    meter.pass(
      `${name}.${operation} ${pathClass(path)}`,
      () => failed(operation, path, "EIO"),
      () => Promise.resolve(),
    );
}

/** Every call of a disk and of its files, for one that has no hooks. */
export function meteredDisk(disk: Disk, meter: CallMeter): Disk {
  const pass = <T>(operation: string, path: string, act: () => Promise<T>): Promise<T> =>
    meter.pass(`disk.${operation} ${pathClass(path)}`, () => failed(operation, path, "EIO"), act);
  const metered = (file: DiskFile, path: string): DiskFile => ({
    read: (position, length) => pass("read", path, () => file.read(position, length)),
    write: (position, parts) => pass("write", path, () => file.write(position, parts)),
    sync: () => pass("sync", path, () => file.sync()),
    truncate: (sizeBytes) => pass("truncate", path, () => file.truncate(sizeBytes)),
    sizeBytes: () => pass("sizeBytes", path, () => file.sizeBytes()),
    close: () => file.close(),
  });
  return {
    open: (path, mode) =>
      pass("open", path, async () => metered(await disk.open(path, mode), path)),
    exists: (path) => pass("exists", path, () => disk.exists(path)),
    list: (folder) => pass("list", folder, () => disk.list(folder)),
    makeFolder: (folder) => pass("makeFolder", folder, () => disk.makeFolder(folder)),
    remove: (path) => pass("remove", path, () => disk.remove(path)),
    rename: (from, to) => pass("rename", to, () => disk.rename(from, to)),
    syncDirectory: (folder) => pass("syncDirectory", folder, () => disk.syncDirectory(folder)),
    space: () => pass("space", "", () => disk.space()),
  };
}

/** Every unary call, every message sent in a stream, and every opening of one, of a caller. */
export function meteredRpc(rpc: Rpc, meter: CallMeter): Rpc {
  return {
    connect: (address) => meteredClient(rpc.connect(address), meter),
    serve: (address, bindings) => rpc.serve(address, bindings),
    close: () => {
      rpc.close();
    },
  };
}

function meteredClient(client: RpcClient, meter: CallMeter): RpcClient {
  const broken = (path: string) => (): AntipodeError =>
    new AntipodeError("PEER_UNREACHABLE", `${client.address.host}${path}: the connection broke`);
  return {
    address: client.address,
    unary: (method, request, options) =>
      meter.pass(`rpc.unary ${method.path}`, broken(method.path), () =>
        client.unary(method, request, options),
      ),
    stream<Q, A>(method: Method<Q, A, "duplex" | "clientStream" | "serverStream">) {
      const stream: RpcStream<Q, A> = client.stream(method);
      return {
        ...stream,
        // A stream that fails to send is broken both ways.
        send: (message: Q) =>
          meter
            .pass(`rpc.send ${method.path}`, broken(method.path), () => stream.send(message))
            .catch((error: unknown) => {
              stream.cancel();
              throw error;
            }),
      };
    },
    close: () => {
      client.close();
    },
  };
}

/** Every request of a coordinator's client, but not its watches: those never fail, they fall silent. */
export function meteredCoordinator(coordinator: Coordinator, meter: CallMeter): Coordinator {
  const pass = <T>(operation: string, key: string, act: () => Promise<T>): Promise<T> =>
    meter.pass(
      `etcd.${operation} ${pathClass(key)}`.trimEnd(),
      () => new AntipodeError("COORDINATOR_UNAVAILABLE", `etcd did not answer: ${operation}`),
      act,
    );
  const firstKey = ({ then }: Parameters<Coordinator["transact"]>[0]): string => {
    const [first] = then;
    if (first === undefined) return "";
    return "key" in first ? first.key : first.prefix;
  };
  return {
    get: (key) => pass("get", key, () => coordinator.get(key)),
    list: (prefix) => pass("list", prefix, () => coordinator.list(prefix)),
    transact: (transaction) =>
      pass("transact", firstKey(transaction), () => coordinator.transact(transaction)),
    watch: (prefix, fromRevision, handlers) => coordinator.watch(prefix, fromRevision, handlers),
    grantLease: (ttlMs) => pass("grantLease", "", () => coordinator.grantLease(ttlMs)),
    renewLease: (id) => pass("renewLease", "", () => coordinator.renewLease(id)),
    revokeLease: (id) => pass("revokeLease", "", () => coordinator.revokeLease(id)),
    close: () => coordinator.close(),
  };
}
