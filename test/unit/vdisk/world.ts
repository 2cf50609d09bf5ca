/**
 * A small world for the tests of owners: real oplog replicas over a fake disk in virtual time, and peers
 * that answer when the test says so.
 */

import { AntipodeError } from "../../../services/base/errors.ts";
import {
  type Epoch,
  epoch,
  type Lsn,
  lsn,
  monotonicMs,
  type VdiskId,
  vdiskId,
} from "../../../services/base/ids.ts";
import { createCodec } from "../../../services/platform/adapters/codec.ts";
import type { AppendItem, AppendItemOutcome } from "../../../services/platform/wire/oplog.ts";
import type {
  OplogRecord,
  OplogReplica,
  OplogReplicas,
} from "../../../services/stargate/oplog/contracts.ts";
import { openOplog } from "../../../services/stargate/oplog/oplog.ts";
import { type NewRecord, OwnerLog } from "../../../services/stargate/oplog/ownerLog.ts";
import type { PeerAnswer, PeerLink } from "../../../services/stargate/oplog/peerLink.ts";
import { createFakeClock, type FakeClock } from "../../support/fakeClock.ts";
import { createFakeDisk, type FakeDisk } from "../../support/fakeDisk.ts";
import { createFakeLog } from "../../support/fakeLog.ts";

export const codec = await createCodec();
export const DISK_A = vdiskId("aa".repeat(16));
export const e = (value: number): Epoch => epoch(value);
export const l = (value: number): Lsn => lsn(value);

export interface ReplicaWorld {
  readonly clock: FakeClock;
  readonly disk: FakeDisk;
  readonly replicas: OplogReplicas;
  readonly replica: OplogReplica;
}

/** One CVM's oplog with the replica of one vDisk. */
export async function openReplica(
  disk: FakeDisk = createFakeDisk({ capacityBytes: 2 ** 40 }),
  clock: FakeClock = createFakeClock(),
): Promise<ReplicaWorld> {
  const replicas = await openOplog({
    disk,
    codec,
    clock,
    log: createFakeLog(),
    folder: "oplog",
    identity: "site/1",
  });
  return { clock, disk, replicas, replica: replicas.of(DISK_A) };
}

export interface FakePeer extends PeerLink {
  /** Items that wait for an answer, oldest first. */
  readonly waiting: {
    readonly item: AppendItem;
    answer(outcome: Partial<AppendItemOutcome>): void;
  }[];
  /** Answers what waits and what comes. */
  follow(): void;
  /** The link breaks: what waits fails. */
  fail(): void;
}

/** A peer at the end of a link. */
export function fakePeer(clock: FakeClock): FakePeer {
  let following = false;
  /** The last record that it has. */
  let has = 0;
  const rejects: ((error: unknown) => void)[] = [];
  const waiting: FakePeer["waiting"] = [];
  const answerOne = (one: FakePeer["waiting"][number] | undefined): void => {
    has = one?.item.records.at(-1)?.lsn ?? has;
    one?.answer({ kind: "appended", lastLsn: has, promisedEpoch: one.item.epoch });
  };
  return {
    waiting,
    append(item) {
      const sentAtMs = monotonicMs(clock.now());
      return new Promise<PeerAnswer>((resolve, reject) => {
        rejects.push(reject);
        waiting.push({
          item,
          answer: (outcome) => {
            resolve({
              outcome: {
                kind: "appended",
                promisedEpoch: 0,
                lastLsn: item.records.at(-1)?.lsn ?? has,
                errorCode: "",
                errorMessage: "",
                ...outcome,
              },
              sentAtMs,
            });
          },
        });
        if (following) answerOne(waiting.pop());
      });
    },
    follow() {
      following = true;
      for (const one of waiting.splice(0)) answerOne(one);
    },
    fail() {
      waiting.length = 0;
      const error = new AntipodeError("PEER_UNREACHABLE", "the link broke");
      for (const reject of rejects.splice(0)) reject(error);
    },
    close() {
      this.fail();
    },
  };
}

export interface LogWorld extends ReplicaWorld {
  readonly log: OwnerLog;
  readonly applied: OplogRecord[];
  readonly lost: number[];
  readonly deposedBy: number[];
  readonly failures: unknown[];
}

/** An owner's log at epoch 1 over an empty replica. */
export async function openOwnerLog(id: VdiskId = DISK_A): Promise<LogWorld> {
  const world = await openReplica();
  const applied: OplogRecord[] = [];
  const lost: number[] = [];
  const deposedBy: number[] = [];
  const failures: unknown[] = [];
  const log = new OwnerLog({
    vdiskId: id,
    replica: world.replica,
    epoch: e(1),
    events: {
      onApply: (record) => applied.push(record),
      onPeerLost: (cvm) => lost.push(cvm),
      onDeposed: (promised) => deposedBy.push(promised),
      onLocalFailure: (error) => failures.push(error),
    },
  });
  return { ...world, log, applied, lost, deposedBy, failures };
}

/** 512 bytes at a sector. */
export function sectorWrite(sector: number, fill = sector + 1): NewRecord {
  return {
    kind: "write",
    offsetBytes: sector * 512,
    lengthBytes: 512,
    data: new Uint8Array(512).fill(fill),
  };
}

/** A sector's write with its place in the log. */
export function recordAt(at: number, by: number): OplogRecord {
  return { lsn: l(at), epoch: e(by), ...sectorWrite(at) };
}

/** What became of a promise, as a text: "waits", "done", or the error's code or message. */
export function watchOutcome(promise: Promise<unknown>): { readonly now: () => string } {
  let outcome = "waits";
  promise.then(
    () => {
      outcome = "done";
    },
    (error: unknown) => {
      outcome = error instanceof AntipodeError ? error.code : String(error);
    },
  );
  return { now: () => outcome };
}
