/** The contract of platform/keyIndex.ts, for LMDB and for the fake. */

import { truncateSync, writeFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { toHex, utf8 } from "../../services/base/bytes.ts";
import { createPrng } from "../../services/base/prng.ts";
import { createKeyIndexes } from "../../services/platform/adapters/keyIndex.ts";
import type { IndexWrite, KeyIndexes } from "../../services/platform/keyIndex.ts";
import { createFakeKeyIndexes } from "../support/fakeKeyIndex.ts";
import { codeOfFailure } from "../support/outcome.ts";
import { temporaryFolder } from "../support/temporaryFolder.ts";

const root = temporaryFolder("index");
const put = (key: string, value: string): IndexWrite => ({ key: utf8(key), value: utf8(value) });
const drop = (key: string): IndexWrite => ({ key: utf8(key), value: undefined });
const RUNS = 20;
let count = 0;

describe.each<[string, () => KeyIndexes]>([
  ["fake", createFakeKeyIndexes],
  ["LMDB", () => createKeyIndexes(`${root}/${++count}`)],
])("key index: %s", (_name, makeIndexes) => {
  it("sees a batch at once, before its write has resolved", async () => {
    const index = await makeIndexes().open("i");
    await index.write([put("a", "1"), put("b", "2")]);
    const writing = index.write([put("a", "3"), drop("b"), put("c", "4")]);
    expect([index.get(utf8("a")), index.get(utf8("b")), index.get(utf8("c"))]).toEqual([
      utf8("3"),
      undefined,
      utf8("4"),
    ]);
    const keys = [...index.entries(new Uint8Array(0))].map(([key]) => toHex(key));
    expect(keys).toEqual(["a", "c"].map((key) => toHex(utf8(key))));
    await writing;
    expect([index.get(utf8("a")), index.get(utf8("b")), index.count()]).toEqual([
      utf8("3"),
      undefined,
      2,
    ]);
    await index.close();
  });

  it("does not change with the caller's arrays once they are written", async () => {
    const index = await makeIndexes().open("i");
    const [key, value] = [utf8("key"), utf8("value")];
    const writing = index.write([{ key, value }]);
    expect(index.get(utf8("key"))).toEqual(utf8("value"));
    await writing;
    value.fill(0);
    key.fill(0);
    expect(index.get(utf8("key"))).toEqual(utf8("value"));
    await index.close();
  });

  it("orders entries by unsigned bytes, from the asked key on", async () => {
    const index = await makeIndexes().open("i");
    const keys = [[0], [0, 0], [0, 255], [1], [127], [128], [128, 0], [255], [255, 255]].map(
      (key) => new Uint8Array(key),
    );
    await index.write([...keys].reverse().map((key) => ({ key, value: key })));
    expect([...index.entries(new Uint8Array(0))].map(([key]) => key)).toEqual(keys);
    expect([...index.entries(new Uint8Array([1, 0]))].map(([key]) => key)).toEqual(keys.slice(4));
    await index.close();
  });

  it("holds what was written when it is opened again, and nothing after it was destroyed", async () => {
    const indexes = makeIndexes();
    let index = await indexes.open("deep/folder");
    await index.write([put("a", "1")]);
    await index.flush();
    await index.close();
    index = await indexes.open("deep/folder");
    expect([index.get(utf8("a")), index.count()]).toEqual([utf8("1"), 1]);
    await index.close();
    await indexes.destroy("deep/folder");
    index = await indexes.open("deep/folder");
    expect([index.get(utf8("a")), index.count()]).toEqual([undefined, 0]);
    await index.close();
  });

  it("takes an empty batch, an empty value and the longest key", async () => {
    const index = await makeIndexes().open("i");
    await index.write([]);
    const key = new Uint8Array(511).fill(9);
    await index.write([{ key, value: new Uint8Array(0) }]);
    expect(index.get(key)).toEqual(new Uint8Array(0));
    await index.close();
  });

  it("agrees with a map after random batches that overlap in time", async () => {
    const indexes = makeIndexes();
    let run = 0;
    const key = fc.integer({ min: 0, max: 30 }).map((n) => utf8(`k${n}`));
    const write = fc.record({
      key,
      value: fc.option(fc.uint8Array({ maxLength: 40 }), { nil: undefined }),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(write, { maxLength: 12 }), { maxLength: 12 }),
        async (batches) => {
          const index = await indexes.open(`run${++run}`);
          const model = new Map<string, Uint8Array>();
          const writing: Promise<void>[] = [];
          for (const batch of batches) {
            writing.push(index.write(batch));
            for (const { key: name, value } of batch)
              if (value === undefined) model.delete(toHex(name));
              else model.set(toHex(name), value);
            const expected = [...model].sort(([a], [b]) => (a < b ? -1 : 1));
            expect(
              [...index.entries(new Uint8Array(0))].map(([name, value]) => [toHex(name), value]),
            ).toEqual(expected);
          }
          await Promise.all(writing);
          expect(index.count()).toBe(model.size);
          for (const [name, value] of index.entries(new Uint8Array(0)))
            expect(value).toEqual(model.get(toHex(name)));
          await index.close();
        },
      ),
      { numRuns: RUNS },
    );
  });
});

describe("key index: LMDB", () => {
  it("refuses a file that is no LMDB instead of crashing the process (P10)", async () => {
    const indexes = createKeyIndexes(`${root}/garbage`);
    await (await indexes.open("i")).close();
    writeFileSync(`${root}/garbage/i/data.mdb`, createPrng(3).fill(new Uint8Array(20_000)));
    expect(await codeOfFailure(indexes.open("i"))).toBe("DISK_FAILED");
    await indexes.destroy("i");
    const index = await indexes.open("i");
    expect(index.count()).toBe(0);
    await index.close();
  });

  it("refuses a file that was cut short (P10)", async () => {
    const indexes = createKeyIndexes(`${root}/cut`);
    const index = await indexes.open("i");
    for (let i = 0; i < 20; i++) await index.write([put(`${i}`, "x".repeat(3000))]);
    await index.close();
    truncateSync(`${root}/cut/i/data.mdb`, 20_000);
    expect(await codeOfFailure(indexes.open("i"))).toBe("DISK_FAILED");
  });
});

describe("key index: fake", () => {
  it("loses only batches after the last flush in a crash, and keeps a prefix", async () => {
    const kept = new Set<number>();
    for (let seed = 0; seed < 50; seed++) {
      const indexes = createFakeKeyIndexes();
      let index = await indexes.open("i");
      await index.write([put("0", "")]);
      await index.flush();
      for (const name of ["1", "2", "3"]) await index.write([put(name, ""), put(`${name}b`, "")]);
      indexes.crash(createPrng(seed));
      index = await indexes.open("i");
      kept.add(index.count());
    }
    expect(kept).toEqual(new Set([1, 3, 5, 7]));
  });

  it("refuses a write as injected and applies nothing", async () => {
    const indexes = createFakeKeyIndexes();
    const index = await indexes.open("i");
    indexes.failWrites("DISK_FULL");
    expect(await codeOfFailure(index.write([put("a", "1")]))).toBe("DISK_FULL");
    expect(index.get(utf8("a"))).toBeUndefined();
  });
});
