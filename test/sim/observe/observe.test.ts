/** What is recorded of calls, streams and transactions that cross the borders of processes (P4, P5). */

import { describe, expect, it } from "vitest";
import { utf8 } from "../../../services/base/bytes.ts";
import { emptyLedger } from "../../../services/base/ledger.ts";
import { siteKeys } from "../../../services/base/siteRecords.ts";
import { createCodec } from "../../../services/platform/adapters/codec.ts";
import { codecPlain } from "../../../services/platform/codec.ts";
import { PeerService } from "../../../services/platform/wire/oplog.ts";
import { ReceiveService, VdiskService } from "../../../services/platform/wire/stargate.ts";
import type { Fingerprint, StoredChunk } from "../../../services/stargate/chunks.ts";
import { encodePack, joinFingerprints } from "../../../services/stargate/extents/chunkPack.ts";
import type { ReplicationRecord } from "../check/contracts.ts";
import { checkEpochs } from "../check/fencing.ts";
import { Recorder } from "../record.ts";
import type { StreamTap } from "../world/tap.ts";
import { Observer } from "./observer.ts";

const CHUNK_BYTES = 16 * 1024;

async function observed() {
  let ms = 0;
  const codec = await createCodec();
  const recorder = new Recorder(() => ++ms);
  const observer = new Observer(recorder, codec);
  const chunk = (n: number): StoredChunk => {
    const stored = new Uint8Array(CHUNK_BYTES).fill(n);
    return { fingerprint: codec.sha256(stored), codec: codecPlain, rawLength: CHUNK_BYTES, stored };
  };
  const started = recorder.instant();
  /** A ship's stream from A to B. */
  const lane = (cvm: number) => {
    const path = ReceiveService.receive.path;
    const call = { process: `stargate-A-${cvm}`, peer: "stargate-B-1", path };
    const tap = observer.tap.opens(call) as StreamTap;
    let sequence = 0;
    const empty = { fingerprints: new Uint8Array(), pack: new Uint8Array(), replicationFactor: 1 };
    const answer = { present: new Uint8Array(), errorCode: "", errorMessage: "" };
    return {
      ask(fingerprint: Fingerprint, isPresent: boolean) {
        sequence += 1;
        tap.sent({ ...empty, sequence, fingerprints: joinFingerprints([fingerprint]) });
        tap.received({ ...answer, sequence, present: Uint8Array.of(isPresent ? 1 : 0) });
      },
      send(n: number, outcome: "answered" | "lost") {
        sequence += 1;
        tap.sent({ ...empty, sequence, pack: encodePack(codec, [chunk(n)]) });
        if (outcome === "answered") tap.received({ ...answer, sequence });
      },
    };
  };
  const replication = (): ReplicationRecord =>
    observer.replication(
      {
        ...{ jobId: "j", pd: "pd", pointId: "p", sourceSite: "A", targetSite: "B", started },
        ...{ ended: recorder.instant(), outcome: "completed", ledger: emptyLedger },
      },
      3,
    );
  return { recorder, observer, chunk, lane, replication };
}

describe("chunks on the wire (P5)", () => {
  it("count once when a sending was lost, and again when the answer had come", async () => {
    const { lane, chunk, replication } = await observed();
    const first = lane(1);
    first.ask(chunk(1).fingerprint, false);
    first.send(1, "lost");
    first.send(1, "answered");
    expect(replication()).toMatchObject({
      wirePayloadBytes: 2 * CHUNK_BYTES,
      wireDistinctBytes: CHUNK_BYTES,
      wireRepeatedBytes: 0,
    });
    lane(2).send(1, "answered");
    expect(replication().wireRepeatedBytes).toBe(CHUNK_BYTES);
  });

  it("are sent in good faith by whoever had asked before the other's answer came", async () => {
    const { lane, chunk, replication } = await observed();
    const [one, other] = [lane(1), lane(2)];
    one.ask(chunk(1).fingerprint, false);
    other.ask(chunk(1).fingerprint, false);
    one.send(1, "answered");
    other.send(1, "answered");
    expect(replication().wireRepeatedBytes).toBe(0);
    other.send(1, "answered");
    expect(replication().wireRepeatedBytes).toBe(CHUNK_BYTES);
  });

  it("may be sent again to a target whose machines failed, if it says that it lacks them", async () => {
    const { recorder, lane, chunk, replication } = await observed();
    lane(1).send(1, "answered");
    const from = recorder.instant();
    const fault = { kind: "F3", what: "powerLoss", sites: ["B"], link: undefined, from };
    recorder.faults.push({ ...fault, until: recorder.instant() });
    const other = lane(2);
    other.ask(chunk(1).fingerprint, false);
    other.send(1, "answered");
    const { wireRepeatedBytes, interruptions } = replication();
    expect([wireRepeatedBytes, interruptions.length]).toEqual([0, 1]);
    other.send(1, "answered");
    expect(replication().wireRepeatedBytes).toBe(CHUNK_BYTES);
  });
});

describe("epochs that were taken (P4)", () => {
  const append = (epoch: number) => ({
    sequence: epoch,
    items: [{ vdiskId: "v", epoch, drainedLsn: 0, records: [] }],
  });
  const appended = (epoch: number, kind: "appended" | "staleEpoch") => ({
    sequence: epoch,
    outcomes: [{ kind, promisedEpoch: epoch, lastLsn: 0, errorCode: "", errorMessage: "" }],
  });

  it("have the place at which the request came, whenever it was answered", async () => {
    const { observer } = await observed();
    const path = PeerService.append.path;
    const call = { process: "stargate-A-3", peer: "stargate-A-1", path };
    const [old, next] = [
      observer.tap.serves(call),
      observer.tap.serves({ ...call, peer: "stargate-A-2" }),
    ];
    old?.received(append(1));
    next?.received(append(2));
    next?.sent(appended(2, "appended"));
    old?.sent(appended(1, "appended"));
    expect(observer.acceptances().map(({ epoch, node }) => [epoch, node])).toEqual([
      [1, "stargate-A-1"],
      [2, "stargate-A-2"],
    ]);
  });

  it("are those that were obeyed, not those that were refused", async () => {
    const { observer } = await observed();
    const path = PeerService.append.path;
    const tap = observer.tap.serves({ process: "stargate-A-3", peer: "stargate-A-1", path });
    tap?.received(append(1));
    tap?.sent(appended(1, "staleEpoch"));
    const order = { vdiskId: "v", cutId: "c", leaderEpoch: 4, leaderIncarnation: "x" };
    const call = { process: "stargate-A-3", peer: "cerebro-A-1", path: VdiskService.hold.path };
    observer.tap.takes(call, order);
    expect(observer.acceptances()).toEqual([]);
    observer.tap.takes(call, order)?.({});
    expect(observer.acceptances()).toMatchObject([
      { resource: "stargate-A-3", token: "cerebro leader@A", epoch: 4, node: "cerebro-A-1" },
    ]);
  });

  it("show an owner that was replaced and moves the map of its vDisk on all the same", async () => {
    const { observer } = await observed();
    const transact = (process: string, key: string, value: object): void => {
      const put = { kind: "put", key, value: utf8(JSON.stringify(value)) } as const;
      const result = { succeeded: true, revision: 1, found: [] };
      const seen = observer.tap.transacts(process, { when: [], then: [put] });
      seen.carriedOut(result);
      seen.answered();
    };
    const judge = () => checkEpochs({ acceptances: observer.acceptances() });
    transact("stargate-A-1", siteKeys.owner("v"), { owner: 1, epoch: 2 });
    transact("stargate-A-1", siteKeys.map("v"), {});
    transact("stargate-A-2", siteKeys.owner("v"), { owner: 2, epoch: 3 });
    expect(judge().verdict).toBe("held");
    transact("stargate-A-1", siteKeys.map("v"), {});
    expect(judge().witness?.kind).toBe("epoch-fell");
  });

  it("show a leader that writes to etcd after its successor", async () => {
    const { observer } = await observed();
    const transact = (process: string, key: string, epoch: number): void => {
      const put = { kind: "put", key, value: utf8(JSON.stringify({ epoch })) } as const;
      const result = { succeeded: true, revision: 1, found: [] };
      const seen = observer.tap.transacts(process, { when: [], then: [put] });
      seen.carriedOut(result);
      seen.answered();
    };
    const judge = () => checkEpochs({ acceptances: observer.acceptances() });
    transact("cerebro-A-1", siteKeys.leaderEpoch("cerebro"), 1);
    transact("cerebro-A-1", siteKeys.recoveryPoint("r"), 0);
    transact("cerebro-A-2", siteKeys.leaderEpoch("cerebro"), 2);
    expect(judge().verdict).toBe("held");
    transact("cerebro-A-1", siteKeys.recoveryPoint("s"), 0);
    expect(judge().witness?.kind).toBe("epoch-fell");
  });
});
