/**
 * The service of the process that carries the links between sites; the contract for other languages
 * is in proto/antipode/wan/v1/wan.proto. A change answers after it is in force and on disk.
 */

import { field, type Infer, message, method } from "../../base/wire.ts";
import { FaultLease } from "./faults.ts";

const pkg = (name: string): string => `antipode.wan.v1.${name}`;

/** One direction between two sites. */
export const LinkName = message(pkg("LinkName"), {
  from: field.string(1),
  to: field.string(2),
});
export type LinkName = Infer<typeof LinkName>;

/** A link as it is now. */
export const Link = message(pkg("Link"), {
  from: field.string(1),
  to: field.string(2),
  latencyMs: field.double(3),
  /** Added to the latency, uniform from 0; order within a connection is kept. */
  jitterMs: field.double(4),
  /** Bits a second; 0 is no limit. */
  bitsPerSecond: field.uint64(5),
  cut: field.bool(6),
  /** Counters since the process started. Bytes that came in at the near end. */
  bytesEntered: field.uint64(7),
  /** Bytes handed over at the far end. */
  bytesDelivered: field.uint64(8),
  /** Bytes under way or held now. */
  bytesBuffered: field.uint64(9),
  connectionsOpen: field.uint32(10),
  connectionsTotal: field.uint64(11),
  /** Connections that could not be carried: the far end refused, or there were too many. */
  connectionsRefused: field.uint64(12),
});
export type Link = Infer<typeof Link>;

export const ShowRequest = message(pkg("ShowRequest"), {});
export const ShowResponse = message(pkg("ShowResponse"), {
  links: field.repeated(field.message(1, Link)),
});
/** What is absent stays as it is. */
export const SetRequest = message(pkg("SetRequest"), {
  links: field.repeated(field.message(1, LinkName)),
  latencyMs: field.optional(field.double(2)),
  jitterMs: field.optional(field.double(3)),
  bitsPerSecond: field.optional(field.uint64(4)),
});
export type SetRequest = Infer<typeof SetRequest>;
export const SetResponse = message(pkg("SetResponse"), {
  links: field.repeated(field.message(1, Link)),
});
export const CutRequest = message(pkg("CutRequest"), {
  links: field.repeated(field.message(1, LinkName)),
});
export const CutResponse = message(pkg("CutResponse"), {
  links: field.repeated(field.message(1, Link)),
});
export const HealRequest = message(pkg("HealRequest"), {
  links: field.repeated(field.message(1, LinkName)),
});
export const HealResponse = message(pkg("HealResponse"), {
  links: field.repeated(field.message(1, Link)),
});

/** A fault that ends with its lease; what is absent stays as it is. */
export const InjectFaultRequest = message(pkg("InjectFaultRequest"), {
  lease: field.message(1, FaultLease),
  links: field.repeated(field.message(2, LinkName)),
  latencyMs: field.optional(field.double(3)),
  jitterMs: field.optional(field.double(4)),
  bitsPerSecond: field.optional(field.uint64(5)),
  cut: field.optional(field.bool(6)),
});
export const InjectFaultResponse = message(pkg("InjectFaultResponse"), {
  links: field.repeated(field.message(1, Link)),
});

const service = pkg("WanService");
export const WanService = {
  show: method(service, "Show", "unary", ShowRequest, ShowResponse),
  set: method(service, "Set", "unary", SetRequest, SetResponse),
  /** Holds everything: bytes under way, new bytes, new connections. Nothing is refused. */
  cut: method(service, "Cut", "unary", CutRequest, CutResponse),
  /** What was held goes on. */
  heal: method(service, "Heal", "unary", HealRequest, HealResponse),
  /** A fault that is undone when its lease ends, also when the one who drills is dead. */
  injectFault: method(service, "InjectFault", "unary", InjectFaultRequest, InjectFaultResponse),
} as const;
