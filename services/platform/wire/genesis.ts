/**
 * The service of the process that starts and watches all others; the contract for other languages is
 * in proto/antipode/genesis/v1/genesis.proto. Services are named by their id, `stargate@A/1` for a
 * service of a CVM, `etcd@A` for one of a site, `wan` for one of the lab.
 */

import { field, type Infer, message, method } from "../../base/wire.ts";
import { diskFaultKinds } from "../diskFaults.ts";
import { FaultLease } from "./faults.ts";

const pkg = (name: string): string => `antipode.genesis.v1.${name}`;

/** Names of the states of a service, in order of their number on the wire. */
export const serviceStates = [
  "stopped",
  "starting",
  "running",
  "stopping",
  "backoff",
  "dead",
] as const;

/** A service and the process that it is now. */
export const ServiceStatus = message(pkg("ServiceStatus"), {
  id: field.string(1),
  /** "stargate", "cerebro", "etcd", "wan", … */
  role: field.string(2),
  /** "" for a service of the whole lab. */
  site: field.string(3),
  /** 0 for a service of the site or the lab. */
  cvm: field.uint32(4),
  state: field.choice(5, pkg("ServiceState"), serviceStates),
  /** 0 when there is no process. */
  pid: field.uint32(6),
  startedAt: field.string(7),
  /** Times that the service was started again after it died. */
  restarts: field.uint64(8),
  /** It died several times in a row soon after it was started. */
  crashLoop: field.bool(9),
  autoRestart: field.bool(10),
  /** Stopped by a signal of `kill` and not continued. */
  paused: field.bool(11),
  residentBytes: field.uint64(12),
  cpuMs: field.uint64(13),
  logFile: field.string(14),
  /** How the last process ended, e.g. "SIGKILL" or "status 1"; "" before. */
  lastExit: field.string(15),
  host: field.string(16),
  port: field.uint32(17),
  /** From the start of the process until it answered; 0 before. */
  readyAfterMs: field.double(18),
});
export type ServiceStatus = Infer<typeof ServiceStatus>;

export const ListRequest = message(pkg("ListRequest"), {});
export const ListResponse = message(pkg("ListResponse"), {
  services: field.repeated(field.message(1, ServiceStatus)),
  genesisPid: field.uint32(2),
  genesisResidentBytes: field.uint64(3),
  genesisCpuMs: field.uint64(4),
});
export const KillRequest = message(pkg("KillRequest"), {
  /** All at once. */
  ids: field.repeated(field.string(1)),
  signal: field.choice(2, pkg("Signal"), ["SIGKILL", "SIGTERM", "SIGSTOP", "SIGCONT"] as const),
  /** Do not start them again. */
  stayDead: field.bool(3),
});
export const KillResponse = message(pkg("KillResponse"), {
  /** As they were when the signal was sent, with the pids that got it. */
  services: field.repeated(field.message(1, ServiceStatus)),
});
export const StopRequest = message(pkg("StopRequest"), { ids: field.repeated(field.string(1)) });
export const StopResponse = message(pkg("StopResponse"), {
  services: field.repeated(field.message(1, ServiceStatus)),
});
export const StartRequest = message(pkg("StartRequest"), { ids: field.repeated(field.string(1)) });
export const StartResponse = message(pkg("StartResponse"), {
  services: field.repeated(field.message(1, ServiceStatus)),
});
export const RestartRequest = message(pkg("RestartRequest"), {
  ids: field.repeated(field.string(1)),
});
export const RestartResponse = message(pkg("RestartResponse"), {
  services: field.repeated(field.message(1, ServiceStatus)),
});
export const SetAutoRestartRequest = message(pkg("SetAutoRestartRequest"), {
  /** Empty: all. */
  ids: field.repeated(field.string(1)),
  autoRestart: field.bool(2),
});
export const SetAutoRestartResponse = message(pkg("SetAutoRestartResponse"), {
  services: field.repeated(field.message(1, ServiceStatus)),
});
/** A fault that ends with its lease. */
export const InjectFaultRequest = message(pkg("InjectFaultRequest"), {
  lease: field.message(1, FaultLease),
  ids: field.repeated(field.string(2)),
  /** SIGSTOP freezes, SIGKILL and SIGTERM leave dead. */
  signal: field.choice(3, pkg("Signal"), ["SIGKILL", "SIGTERM", "SIGSTOP", "SIGCONT"] as const),
});
export const InjectFaultResponse = message(pkg("InjectFaultResponse"), {
  /** As they were when the signal was sent, with the pids that got it. */
  services: field.repeated(field.message(1, ServiceStatus)),
});
/** Disks that fail until the lease ends. */
export const InjectDiskFaultRequest = message(pkg("InjectDiskFaultRequest"), {
  lease: field.message(1, FaultLease),
  /** Services with a disk: stargates and the embedded etcd. */
  ids: field.repeated(field.string(2)),
  fault: field.choice(3, pkg("DiskFaultKind"), diskFaultKinds),
  /** By how much every sync is late, with `slowSync`; else 0. */
  delayMs: field.uint64(4),
});
export const InjectDiskFaultResponse = message(pkg("InjectDiskFaultResponse"), {});
export const ShutdownRequest = message(pkg("ShutdownRequest"), {});
export const ShutdownResponse = message(pkg("ShutdownResponse"), {
  /** Processes that had to be killed because they did not end by themselves. */
  killed: field.repeated(field.string(1)),
});

const service = pkg("GenesisService");
export const GenesisService = {
  list: method(service, "List", "unary", ListRequest, ListResponse),
  kill: method(service, "Kill", "unary", KillRequest, KillResponse),
  /** Ends services well and leaves them stopped; answers when they are gone. */
  stop: method(service, "Stop", "unary", StopRequest, StopResponse),
  /** Starts what is not running, and lets it be started again when it dies; answers at once. */
  start: method(service, "Start", "unary", StartRequest, StartResponse),
  restart: method(service, "Restart", "unary", RestartRequest, RestartResponse),
  setAutoRestart: method(
    service,
    "SetAutoRestart",
    "unary",
    SetAutoRestartRequest,
    SetAutoRestartResponse,
  ),
  /** A fault that is undone when its lease ends, also when the one who drills is dead. */
  injectFault: method(service, "InjectFault", "unary", InjectFaultRequest, InjectFaultResponse),
  /** Disks that fail until the lease ends. */
  injectDiskFault: method(
    service,
    "InjectDiskFault",
    "unary",
    InjectDiskFaultRequest,
    InjectDiskFaultResponse,
  ),
  /** Ends all services in order, answers, then ends itself. */
  shutdown: method(service, "Shutdown", "unary", ShutdownRequest, ShutdownResponse),
} as const;
