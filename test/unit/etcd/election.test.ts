/**
 * Election and process lease against an etcd that misbehaves as real ones did (reference 3.3, 3.4):
 * candidates that resigned or lost their lease are never elected, two leaders never write with one
 * epoch (P4), and whatever happens somebody leads in the end (P9). Numbers E1 to E8: SPEC.md.
 */

import { beforeEach, describe, expect, it } from "vitest";
import { utf8 } from "../../../services/base/bytes.ts";
import { siteKeys } from "../../../services/base/siteRecords.ts";
import {
  type Election,
  readLeader,
  startElection,
  type Term,
} from "../../../services/platform/coordination/election.ts";
import {
  type ProcessLease,
  startProcessLease,
} from "../../../services/platform/coordination/processLease.ts";
import { createFakeClock, type FakeClock } from "../../support/fakeClock.ts";
import { createFakeLog } from "../../support/fakeLog.ts";
import {
  createMemoryEtcd,
  type MemoryConnection,
  type MemoryEtcd,
} from "../../support/memoryCoordinator.ts";

const ROLE = "cerebro";
const TTL_MS = 2000;
const keys = { seatPrefix: siteKeys.seatPrefix(ROLE), epochKey: siteKeys.leaderEpoch(ROLE) };

interface Candidate {
  readonly name: string;
  readonly connection: MemoryConnection;
  readonly lease: ProcessLease;
  readonly election: Election;
  /** Every term that began here. */
  readonly terms: Term[];
  readonly lost: number[];
}

let clock: FakeClock;
let etcd: MemoryEtcd;

beforeEach(() => {
  clock = createFakeClock();
  etcd = createMemoryEtcd(clock);
});

function stand(name: string): Candidate {
  const connection = etcd.connect();
  const log = createFakeLog();
  const terms: Term[] = [];
  const lost: number[] = [];
  const lease = startProcessLease({
    coordinator: connection,
    clock,
    log,
    ttlMs: TTL_MS,
    key: siteKeys.live(ROLE, name.charCodeAt(0)),
    value: { name },
  });
  const election = startElection({
    coordinator: connection,
    clock,
    log,
    lease,
    ...keys,
    value: { name },
    onElected: (term) => terms.push(term),
    onLost: (epoch) => lost.push(epoch),
  });
  return { name, connection, lease, election, terms, lost };
}

/** One after the other, so that the order of the queue is known. */
async function standAll(...names: readonly string[]): Promise<Candidate[]> {
  const all: Candidate[] = [];
  for (const name of names) {
    all.push(stand(name));
    await clock.tick(100);
  }
  return all;
}

const leaders = (all: readonly Candidate[]): string[] =>
  all.filter((one) => one.election.isLeader()).map((one) => one.name);
const leaseIdOf = (one: Candidate): string => one.lease.current()?.id ?? "";
/** The process is gone: nothing of it reaches etcd any more. */
const kill = (one: Candidate): void => {
  one.connection.cut();
};

describe("election", () => {
  it("elects the first to stand, and only that one (E1)", async () => {
    const all = await standAll("a", "b", "c");
    await clock.tick(5000);
    expect(leaders(all)).toEqual(["a"]);
    expect(all.flatMap((one) => one.terms)).toHaveLength(1);
    expect(await readLeader(etcd.connect(), keys)).toEqual({ leader: { name: "a" }, epoch: 1 });
  });

  it("names with the successor no epoch that its predecessor had (P4)", async () => {
    const [a, b] = (await standAll("a", "b")) as [Candidate, Candidate];
    await clock.tick(5000);
    kill(a);
    await clock.tick(TTL_MS / 2);
    // It is next in the queue when the seat of a ends, and cannot begin its term.
    kill(b);
    const connection = etcd.connect();
    const views = new Set<string>();
    for (let look = 0; look < TTL_MS; look += 100) {
      await clock.tick(100);
      const { leader, epoch } = await readLeader(connection, keys);
      views.add(`${JSON.stringify(leader)} ${epoch}`);
    }
    expect([...views]).toEqual(['{"name":"a"} 1', '{"name":"b"} 0', "undefined 0"]);
  });

  it("elects the next within TTL + 0.5 s after a kill, with a higher epoch (E2, P5)", async () => {
    const all = await standAll("a", "b", "c");
    const [a, b] = all as [Candidate, Candidate];
    kill(a);
    await clock.tickUntil(() => b.election.isLeader(), TTL_MS + 500);
    expect(b.terms[0]?.epoch).toBe(2);
    expect(a.election.isLeader()).toBe(false);
  });

  it("elects the next at once when the leader resigns or ends its lease (E2)", async () => {
    const all = await standAll("a", "b", "c");
    const [a, b, c] = all as [Candidate, Candidate, Candidate];
    void a.election.resign();
    await clock.tick(20);
    expect(leaders(all)).toEqual(["b"]);
    void b.lease.stop();
    await clock.tick(20);
    expect(leaders(all)).toEqual(["c"]);
    expect(c.terms[0]?.epoch).toBe(3);
  });

  it("never elects a candidate that resigned while it waited (E3, phantom of etcd3)", async () => {
    const all = await standAll("a", "b", "c");
    const [a, b] = all as [Candidate, Candidate];
    void b.election.resign();
    void a.election.resign();
    await clock.tick(5000);
    expect(b.terms).toEqual([]);
    expect(leaders(all)).toEqual(["c"]);
  });

  it("leaves no seat behind when it resigns while its seat is being written (E3)", async () => {
    const [a] = await standAll("a");
    const b = stand("b");
    await b.lease.held();
    void b.election.resign();
    await clock.tick(100);
    void a?.election.resign();
    await clock.tick(3000);
    expect((await etcd.connect().list(keys.seatPrefix)).entries).toEqual([]);
    expect(b.terms).toEqual([]);
  });

  it("never elects a candidate whose lease ended while it waited, on that seat (E3)", async () => {
    const all = await standAll("a", "b", "c");
    const [a, b, c] = all as [Candidate, Candidate, Candidate];
    etcd.revoke(leaseIdOf(b));
    void a.election.resign();
    await clock.tick(50);
    expect(leaders(all)).toEqual(["c"]);
    void c.election.resign();
    await clock.tick(2000);
    expect(leaders(all)).toEqual(["b"]);
    expect(b.terms.map((term) => term.epoch)).toEqual([3]);
  });

  it("steps down by itself before its lease can have ended, and only then a rival leads (E4, P4)", async () => {
    const [a, b] = (await standAll("a", "b")) as [Candidate, Candidate];
    a.connection.cut();
    let bothAtOnce = 0;
    for (let ms = 0; ms < 4000; ms += 5) {
      await clock.tick(5);
      if (a.election.isLeader() && b.election.isLeader()) bothAtOnce += 1;
    }
    expect(bothAtOnce).toBe(0);
    expect(a.lost).toEqual([1]);
    expect(a.terms[0]?.signal.aborted).toBe(true);
    expect(b.election.isLeader()).toBe(true);
  });

  it("counts its term from when a renewal was sent, not from its answer (E4)", async () => {
    const [a] = (await standAll("a")) as [Candidate];
    await clock.tick(1000);
    const sentMs = clock.now();
    a.connection.cut();
    await clock.tick(10);
    expect(a.lease.validUntilMs()).toBeLessThanOrEqual(sentMs + TTL_MS * 0.75);
    expect(a.lease.validUntilMs()).toBeGreaterThan(sentMs);
  });

  it("refuses guarded writes of a leader whose lease etcd has revoked (E5, P4)", async () => {
    const [a, b] = (await standAll("a", "b")) as [Candidate, Candidate];
    const term = a.terms[0];
    etcd.revoke(leaseIdOf(a));
    const result = await a.connection.transact({
      when: term === undefined ? [] : [term.guard],
      then: [{ kind: "put", key: "owned", value: utf8("zombie") }],
    });
    expect(result.succeeded).toBe(false);
    await clock.tick(50);
    expect(b.terms[0]?.epoch).toBe(2);
  });

  it("leads again, with a new epoch, when its seat was deleted under it (E6, P9)", async () => {
    const [a] = (await standAll("a")) as [Candidate];
    await etcd.connect().transact({
      when: [],
      then: [{ kind: "deletePrefix", prefix: keys.seatPrefix }],
    });
    await clock.tick(2500);
    expect(a.lost).toEqual([1]);
    expect(a.terms.map((term) => term.epoch)).toEqual([1, 2]);
    expect(a.election.isLeader()).toBe(true);
  });

  it("leads again when only its own way to etcd was cut and nobody else stands (E6, P9)", async () => {
    const [a] = (await standAll("a")) as [Candidate];
    a.connection.cut();
    await clock.tick(8000);
    expect(a.election.isLeader()).toBe(false);
    a.connection.heal();
    await clock.tick(3000);
    expect(a.election.isLeader()).toBe(true);
    expect(a.terms.at(-1)?.epoch).toBe(2);
  });

  it("is elected within the poll when its watch is blind (E7)", async () => {
    const [a, b] = (await standAll("a", "b")) as [Candidate, Candidate];
    b.connection.blindWatches(true);
    void a.election.resign();
    await clock.tickUntil(() => b.election.isLeader(), 1100);
  });

  it("goes on when the answer to its seat, or to its epoch, is lost (E8)", async () => {
    const connection = etcd.connect();
    const log = createFakeLog();
    const lease = startProcessLease({
      coordinator: connection,
      clock,
      log,
      ttlMs: TTL_MS,
      key: siteKeys.live(ROLE, 1),
      value: {},
    });
    await lease.held();
    const epochs: number[] = [];
    connection.loseAnswers(4);
    startElection({
      coordinator: connection,
      clock,
      log,
      lease,
      ...keys,
      value: {},
      onElected: (term) => epochs.push(term.epoch),
      onLost: () => undefined,
    });
    await clock.tick(5000);
    expect(epochs).toHaveLength(1);
    const { entries } = await etcd.connect().list(keys.seatPrefix);
    expect(entries).toHaveLength(1);
    expect((await readLeader(etcd.connect(), keys)).epoch).toBe(epochs[0]);
  });

  it("does not win with a seat that died between the look at the queue and the win (E3)", async () => {
    const connection = etcd.connect();
    const log = createFakeLog();
    const lease = startProcessLease({
      coordinator: connection,
      clock,
      log,
      ttlMs: TTL_MS,
      key: siteKeys.live(ROLE, 1),
      value: {},
    });
    let isSabotaged = false;
    const coordinator: MemoryConnection = {
      ...connection,
      transact(transaction) {
        const isRaise = transaction.when.some((one) => one.key === keys.epochKey);
        if (isRaise && !isSabotaged) {
          isSabotaged = true;
          etcd.revoke(lease.current()?.id ?? "");
        }
        return connection.transact(transaction);
      },
    };
    const terms: Term[] = [];
    startElection({
      coordinator,
      clock,
      log,
      lease,
      ...keys,
      value: {},
      onElected: (term) => {
        expect(etcd.core.keyspace.get(term.guard.key)?.createRevision).toBe(term.guard.equals);
        terms.push(term);
      },
      onLost: () => undefined,
    });
    await clock.tick(3000);
    expect(isSabotaged).toBe(true);
    expect(terms.map((term) => term.epoch)).toEqual([1]);
  });

  it("goes on when its watch was compacted away (E7)", async () => {
    const [a, b] = (await standAll("a", "b")) as [Candidate, Candidate];
    b.connection.blindWatches(true);
    for (let i = 0; i < 20; i++)
      await etcd
        .connect()
        .transact({ when: [], then: [{ kind: "put", key: "x", value: utf8("x") }] });
    etcd.compact(etcd.core.keyspace.revision);
    b.connection.blindWatches(false);
    await clock.tick(10);
    void a.election.resign();
    await clock.tick(50);
    expect(b.election.isLeader()).toBe(true);
  });
});

describe("process lease", () => {
  it("writes its key under the lease and keeps both", async () => {
    const [a] = (await standAll("a")) as [Candidate];
    await clock.tick(30_000);
    const entry = await etcd.connect().get(siteKeys.live(ROLE, 97));
    expect(entry?.lease).toBe(leaseIdOf(a));
    expect(a.lease.isValid()).toBe(true);
  });

  it("makes another lease when etcd says that it is gone, without help (P9)", async () => {
    const [a] = (await standAll("a")) as [Candidate];
    const before = leaseIdOf(a);
    etcd.revoke(before);
    await clock.tick(1000);
    expect(leaseIdOf(a)).not.toBe(before);
    expect((await etcd.connect().get(siteKeys.live(ROLE, 97)))?.lease).toBe(leaseIdOf(a));
  });

  it("is not valid any more while etcd is away, and is again afterwards (P9)", async () => {
    const [a] = (await standAll("a")) as [Candidate];
    a.connection.cut();
    await clock.tick(TTL_MS);
    expect(a.lease.isValid()).toBe(false);
    await clock.tick(60_000);
    a.connection.heal();
    await clock.tick(3000);
    expect(a.lease.isValid()).toBe(true);
  });

  it("ends its key when it is stopped", async () => {
    const [a] = (await standAll("a")) as [Candidate];
    void a.lease.stop();
    await clock.tick(10);
    expect(await etcd.connect().get(siteKeys.live(ROLE, 97))).toBeUndefined();
  });
});
