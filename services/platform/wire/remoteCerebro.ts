/**
 * What the Cerebros of two sites say to each other, and how a Cerebro hands a call to the leader of
 * its own site. The contract for other languages is in proto/antipode/cerebro/v1/remote.proto.
 *
 * Every request between sites names its sender with the epoch of the sender's leader; the receiver
 * keeps the highest it has seen of each site and refuses lower ones (STALE_EPOCH), so that a leader
 * that was replaced cannot act on another site (P4, P5).
 */

import { field, type Infer, message, method } from "../../base/wire.ts";
import { RecoveryPoint } from "./cerebro.ts";

const pkg = (name: string): string => `antipode.cerebro.v1.${name}`;

/** Who speaks: a site, and which of its leaders. */
export const Sender = message(pkg("Sender"), {
  site: field.string(1),
  /** Random at the site's creation: tells it from a later site of the same name. */
  incarnation: field.string(2),
  /** Epoch of the leader that speaks. */
  epoch: field.uint64(3),
  /** Ed25519 public key of the site, SPKI DER. */
  publicKey: field.bytes(4),
});
export type Sender = Infer<typeof Sender>;

/** A protection domain's standing, by which two sites find out who is active. */
export const Standing = message(pkg("Standing"), {
  pd: field.string(1),
  /** "active", "inactive", or "" when the site does not know it. */
  state: field.string(2),
  generation: field.uint64(3),
});
export type Standing = Infer<typeof Standing>;

export const HelloRequest = message(pkg("HelloRequest"), {
  sender: field.message(1, Sender),
  /** The sender's protection domains that the receiver shall compare with its own. */
  standings: field.repeated(field.message(2, Standing)),
});
export const HelloResponse = message(pkg("HelloResponse"), {
  site: field.string(1),
  incarnation: field.string(2),
  publicKey: field.bytes(3),
  /** CVMs of the site: no copy count can be higher. */
  memberCount: field.uint32(4),
  /** What the receiver holds of the domains named in the request. */
  standings: field.repeated(field.message(5, Standing)),
});

/** A container that the sender wants to place vDisks in. */
export const ContainerWish = message(pkg("ContainerWish"), {
  name: field.string(1),
  replicationFactor: field.uint32(2),
});
export const RecoveryPointsOfRequest = message(pkg("RecoveryPointsOfRequest"), {
  sender: field.message(1, Sender),
  pd: field.string(2),
  containers: field.repeated(field.message(3, ContainerWish)),
});
/** A recovery point that the target holds completely. */
export const HeldPoint = message(pkg("HeldPoint"), {
  id: field.string(1),
  roots: field.repeated(field.string(2)),
});
export const RecoveryPointsOfResponse = message(pkg("RecoveryPointsOfResponse"), {
  standing: field.message(1, Standing),
  points: field.repeated(field.message(2, HeldPoint)),
  /** The wishes with the copies that the target will really keep. */
  containers: field.repeated(field.message(3, ContainerWish)),
});

/** Where a vDisk of a recovery point goes when the target is activated. */
export const Placement = message(pkg("Placement"), {
  vdiskId: field.string(1),
  group: field.string(2),
  container: field.string(3),
  replicationFactor: field.uint32(4),
  compression: field.bool(5),
});
export type Placement = Infer<typeof Placement>;
export const RecordRecoveryPointRequest = message(pkg("RecordRecoveryPointRequest"), {
  sender: field.message(1, Sender),
  recoveryPoint: field.message(2, RecoveryPoint),
  placements: field.repeated(field.message(3, Placement)),
  /** Generation of the protection domain at the sender now; the recovery point may be older. */
  generation: field.uint64(4),
});
export const RecordRecoveryPointResponse = message(pkg("RecordRecoveryPointResponse"), {
  standing: field.message(1, Standing),
});

export const DeactivateRequest = message(pkg("DeactivateRequest"), {
  sender: field.message(1, Sender),
  pd: field.string(2),
  /** Generation of the activation; a domain of a lower one becomes inactive. */
  generation: field.uint64(3),
});
export const DeactivateResponse = message(pkg("DeactivateResponse"), {
  standing: field.message(1, Standing),
});

const remoteService = pkg("RemoteCerebroService");
export const RemoteCerebroService = {
  hello: method(remoteService, "Hello", "unary", HelloRequest, HelloResponse),
  /** What the target holds of a protection domain: the candidates for a common base. */
  recoveryPointsOf: method(
    remoteService,
    "RecoveryPointsOf",
    "unary",
    RecoveryPointsOfRequest,
    RecoveryPointsOfResponse,
  ),
  /** Written only if the signature is the sender's and every root is here; idempotent. */
  recordRecoveryPoint: method(
    remoteService,
    "RecordRecoveryPoint",
    "unary",
    RecordRecoveryPointRequest,
    RecordRecoveryPointResponse,
  ),
  deactivate: method(remoteService, "Deactivate", "unary", DeactivateRequest, DeactivateResponse),
} as const;

// ---- inside a site ----

export const ForwardRequest = message(pkg("ForwardRequest"), {
  /** Path of the method that was called. */
  path: field.string(1),
  /** Its request, encoded. */
  request: field.bytes(2),
});
export const ForwardResponse = message(pkg("ForwardResponse"), { response: field.bytes(1) });

/** Answered by the leader only; anybody else says NOT_LEADER, so a call is forwarded once at most. */
export const CerebroPeerService = {
  forward: method(pkg("CerebroPeerService"), "Forward", "unary", ForwardRequest, ForwardResponse),
} as const;
