/**
 * The embedded etcd, for whoever hosts it: `EtcdEngine` and its gRPC bindings for a process,
 * `EtcdCore` alone for simulated worlds.
 */

export { etcdBindings } from "./bindings.ts";
export { type CoreLimits, EtcdCore } from "./core.ts";
export { EtcdEngine } from "./engine.ts";
