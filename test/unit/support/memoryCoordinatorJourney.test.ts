/** Calls to the etcd in memory that take time: what can happen between a request, its effect and its answer. */

import { describe, expect, it } from "vitest";
import { utf8 } from "../../../services/base/bytes.ts";
import { createPrng } from "../../../services/base/prng.ts";
import type { Transaction } from "../../../services/platform/coordinator.ts";
import { createFakeClock, type FakeClock } from "../../support/fakeClock.ts";
import { createMemoryEtcd, type MemoryEtcd } from "../../support/memoryCoordinator.ts";
import { codeOfFailure } from "../../support/outcome.ts";

const MEAN_MS = 10;
const SEEDS = 50;

function rig(seed: number): { readonly clock: FakeClock; readonly etcd: MemoryEtcd } {
  const clock = createFakeClock();
  const journey = { meanMs: MEAN_MS, prng: createPrng(seed) };
  return { clock, etcd: createMemoryEtcd(clock, { journey }) };
}

const put = (value: string): Transaction => ({
  when: [],
  then: [{ kind: "put", key: "/k", value: utf8(value) }],
});

/** What the server holds, whoever knows of it. */
function held(etcd: MemoryEtcd): string | undefined {
  const { revision, historyCount } = etcd.core.keyspace;
  const last = etcd.core.keyspace.commitsFrom(1, revision, historyCount).at(-1)?.changes[0]?.now;
  return last === undefined ? undefined : new TextDecoder().decode(last.value);
}

describe("a call that takes time", () => {
  it("has its effect before its answer, and the same times for the same seed", async () => {
    const timesOf = async (seed: number): Promise<readonly number[]> => {
      const { clock, etcd } = rig(seed);
      let effectMs = 0;
      let answerMs = 0;
      const call = etcd.connect().transact(put("1"), () => {
        effectMs = clock.now();
      });
      void call.then(() => {
        answerMs = clock.now();
      });
      await clock.tick(1000);
      return [effectMs, answerMs];
    };
    const [effectMs = 0, answerMs = 0] = await timesOf(1);
    expect(effectMs).toBeGreaterThan(0);
    expect(answerMs).toBeGreaterThan(effectMs);
    expect(await timesOf(1)).toEqual([effectMs, answerMs]);
  });

  it("can be overtaken by a later one", async () => {
    const ends = new Set<string | undefined>();
    for (let seed = 1; seed <= SEEDS; seed++) {
      const { clock, etcd } = rig(seed);
      const one = etcd.connect();
      const calls = [one.transact(put("first")), one.transact(put("second"))];
      await clock.tick(1000);
      await Promise.all(calls);
      ends.add(held(etcd));
    }
    expect([...ends].sort()).toEqual(["first", "second"]);
  });

  it("is carried out although its caller died when it was on its way", async () => {
    const { clock, etcd } = rig(1);
    const one = etcd.connect();
    void one.transact(put("orphan"));
    await one.close();
    expect(held(etcd)).toBeUndefined();
    await clock.tick(1000);
    expect(held(etcd)).toBe("orphan");
  });

  it("fails after its effect when etcd goes away before the answer is there", async () => {
    const { clock, etcd } = rig(1);
    const call = etcd.connect().transact(put("1"), () => {
      etcd.outage();
    });
    const code = codeOfFailure(call);
    await clock.tick(2000);
    expect([await code, held(etcd)]).toEqual(["COORDINATOR_UNAVAILABLE", "1"]);
  });

  it("is told of by a watch before its answer or after it, in order and once", async () => {
    const orders = new Set<string>();
    for (let seed = 1; seed <= SEEDS; seed++) {
      const { clock, etcd } = rig(seed);
      const one = etcd.connect();
      const told: string[] = [];
      one.watch("/k", 1, {
        onEvents: (events) => told.push(...events.map(({ kind }) => kind)),
        onCompacted: () => undefined,
      });
      void one.transact(put("1")).then(() => told.push("answer"));
      await clock.tick(1000);
      orders.add(told.join());
    }
    expect([...orders].sort()).toEqual(["answer,put", "put,answer"]);
  });
});

it("takes no time when none is asked for", async () => {
  const clock = createFakeClock();
  await createMemoryEtcd(clock).connect().transact(put("1"));
  expect(clock.now()).toBe(0);
});
