/** The byte queue against one array of all bytes. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ByteQueue } from "../../../services/base/byteQueue.ts";
import { concatBytes } from "../../../services/base/bytes.ts";

type Step =
  | { kind: "push"; bytes: Uint8Array }
  | { kind: "take" | "skip" | "copy" | "peek"; count: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant("push" as const), bytes: fc.uint8Array({ maxLength: 20 }) }),
  fc.record({
    kind: fc.constantFrom("take" as const, "skip" as const, "copy" as const, "peek" as const),
    count: fc.nat({ max: 30 }),
  }),
);

describe("ByteQueue", () => {
  it("gives back the bytes pushed, in order, however they were cut", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const queue = new ByteQueue();
        let model: Uint8Array = new Uint8Array(0);
        for (const item of steps) {
          if (item.kind === "push") {
            queue.push(item.bytes);
            model = concatBytes([model, item.bytes]);
          } else if (item.kind === "take" || item.kind === "peek") {
            expect(queue.ensure(item.count)).toBe(item.count <= model.length);
            if (item.count > model.length) continue;
            if (item.kind === "peek") {
              const view = new DataView(model.buffer, model.byteOffset, model.byteLength);
              if (item.count >= 4)
                expect(queue.u32(item.count - 4)).toBe(view.getUint32(item.count - 4));
              if (item.count >= 2) expect(queue.u16(0)).toBe(view.getUint16(0));
              continue;
            }
            expect(queue.take(item.count)).toEqual(model.slice(0, item.count));
            model = model.slice(item.count);
          } else if (item.kind === "skip") {
            const count = Math.min(item.count, model.length);
            expect(queue.skip(item.count)).toBe(count);
            model = model.slice(count);
          } else {
            const target = new Uint8Array(item.count);
            const count = Math.min(item.count, model.length);
            expect(queue.copyInto(target, 0)).toBe(count);
            expect(target.slice(0, count)).toEqual(model.slice(0, count));
            model = model.slice(count);
          }
          expect(queue.length).toBe(model.length);
        }
      }),
      { numRuns: 500 },
    );
  });

  it("does not copy a field that lies in one chunk", () => {
    const queue = new ByteQueue();
    const chunk = new Uint8Array([1, 2, 3, 4]);
    queue.push(chunk);
    queue.skip(1);
    queue.ensure(2);
    expect(queue.take(2).buffer).toBe(chunk.buffer);
  });
});
