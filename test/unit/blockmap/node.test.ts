// The encoding of a block-map node: one content, one encoding, and nothing else is accepted.
import { describe, expect, it } from "vitest";
import { CHUNK_SIZE_BYTES, NODE_FANOUT } from "../../../services/base/units.ts";
import {
  childCount,
  childOf,
  childrenOf,
  decodeNode,
  encodeNode,
  NODE_SIZE_BYTES_MAX,
  NodeError,
} from "../../../services/stargate/blockmap/node.ts";
import type { Fingerprint } from "../../../services/stargate/chunks.ts";

const fingerprint = (n: number): Fingerprint => new Uint8Array(32).fill(n);

function childrenAt(slots: readonly number[]): (Fingerprint | undefined)[] {
  const children = Array.from<Fingerprint | undefined>({ length: NODE_FANOUT });
  for (const slot of slots) children[slot] = fingerprint(slot + 1);
  return children;
}

function encoded(level: number, slots: readonly number[]): Uint8Array {
  const bytes = encodeNode(level, childrenAt(slots));
  if (bytes === undefined) throw new Error("the node is empty");
  return bytes;
}

describe("block-map node", () => {
  it.each([
    [[0]],
    [[31]],
    [[32]],
    [[63]],
    [[0, 31, 32, 63]],
    [[1, 2, 3, 40]],
    [Array.from({ length: 64 }, (_, i) => i)],
  ])("decodes what was encoded, children %j", (slots) => {
    const node = decodeNode(encoded(3, slots));
    expect(node.level).toBe(3);
    expect(childCount(node)).toBe(slots.length);
    expect(childrenOf(node)).toEqual(childrenAt(slots));
    expect(Array.from({ length: 64 }, (_, slot) => childOf(node, slot))).toEqual(childrenAt(slots));
  });

  it("is as FORMAT.md says, byte by byte", () => {
    const bytes = encoded(2, [0, 33]);
    expect([...bytes.subarray(0, 16)]).toEqual([
      0x41, 0x50, 0x42, 0x4d, 1, 2, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0,
    ]);
    expect([...bytes.subarray(16)]).toEqual([...fingerprint(1), ...fingerprint(34)]);
  });

  it("has no encoding when all children are zero", () => {
    expect(encodeNode(1, childrenAt([]))).toBeUndefined();
  });

  it("is never as long as a data chunk, so that neither can be taken for the other", () => {
    expect(NODE_SIZE_BYTES_MAX).toBe(2064);
    expect(NODE_SIZE_BYTES_MAX).toBeLessThan(CHUNK_SIZE_BYTES);
  });

  const damage: readonly (readonly [string, (bytes: Uint8Array) => Uint8Array])[] = [
    ["nothing", () => new Uint8Array(0)],
    ["a cut header", (b) => b.slice(0, 15)],
    ["a wrong magic", (b) => b.with(0, 0)],
    ["an unknown version", (b) => b.with(4, 2)],
    ["level 0", (b) => b.with(5, 0)],
    ["a level beyond the height", (b) => b.with(5, 7)],
    ["unused bits", (b) => b.with(6, 1)],
    ["no children", (b) => b.slice(0, 16).with(8, 0)],
    ["fewer fingerprints than children", (b) => b.slice(0, -32)],
    ["a cut fingerprint", (b) => b.slice(0, -1)],
    ["more fingerprints than children", (b) => new Uint8Array([...b, ...fingerprint(9)])],
    ["a zero fingerprint", (b) => new Uint8Array([...b.slice(0, -32), ...new Uint8Array(32)])],
  ];
  it.each(damage)("refuses %s (P10)", (_, harm) => {
    expect(() => decodeNode(harm(encoded(1, [0, 5])))).toThrow(NodeError);
  });

  it("does not keep the frame alive that it was decoded from", () => {
    const frame = new Uint8Array(1024 * 1024);
    const bytes = encoded(1, [7]);
    frame.set(bytes, 100);
    const node = decodeNode(frame.subarray(100, 100 + bytes.length));
    expect(node.fingerprints.buffer.byteLength).toBe(32);
  });
});
