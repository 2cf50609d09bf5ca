/**
 * P10 for NBD: whatever arrives, the server neither fails nor keeps anything. Sessions of random
 * bytes, and valid sessions with bytes changed, cut or repeated. The seed is in every failure.
 */

import { describe, expect, it } from "vitest";
import { concatBytes } from "../../../services/base/bytes.ts";
import { encodeNbdOption, nbdOption } from "../../../services/base/nbd.ts";
import { createPrng, type Prng } from "../../../services/base/prng.ts";
import {
  CLIENT_FLAGS,
  DISK_BYTES,
  dialRaw,
  fakeNbdWorld,
  goData,
  metaData,
  request,
} from "../../support/nbdWorld.ts";

const ROUNDS = 150;
const SEED = Number(process.env["ANTIPODE_SEED"] ?? 20_260);

function validSession(prng: Prng): Uint8Array {
  const parts = [
    CLIENT_FLAGS,
    encodeNbdOption(nbdOption.structuredReply, new Uint8Array(0)),
    encodeNbdOption(nbdOption.list, new Uint8Array(0)),
    encodeNbdOption(nbdOption.setMetaContext, metaData("disk", "base:allocation")),
    encodeNbdOption(nbdOption.go, goData(prng.below(4) === 0 ? "disk@rp1" : "disk")),
  ];
  for (let i = prng.below(20); i > 0; i--) {
    const command = prng.below(9);
    const length = prng.below(5) === 0 ? 0 : prng.below(20_000);
    const flags = prng.below(3) === 0 ? prng.below(32) : 0;
    parts.push(request({ command, flags, cookie: i, offset: prng.below(DISK_BYTES), length }));
    if (command === 1) parts.push(prng.fill(new Uint8Array(length)));
  }
  return concatBytes(parts);
}

function mutate(prng: Prng, bytes: Uint8Array): Uint8Array {
  const copy = bytes.slice();
  for (let i = prng.below(4); i > 0; i--) copy[prng.below(copy.length)] = prng.below(256);
  const cut = prng.below(copy.length);
  switch (prng.below(4)) {
    case 0:
      return copy.subarray(0, cut);
    case 1:
      return concatBytes([copy.subarray(0, cut), copy.subarray(prng.below(copy.length))]);
    case 2:
      return prng.fill(new Uint8Array(prng.below(2000)));
    default:
      return copy;
  }
}

describe("NBD server under garbage", () => {
  it(`survives ${ROUNDS} broken sessions from seed ${SEED} and serves the next client (P10)`, async () => {
    const prng = createPrng(SEED);
    const world = await fakeNbdWorld();
    for (let round = 0; round < ROUNDS; round++) {
      const peer = await dialRaw(world);
      const bytes = mutate(prng, validSession(prng));
      for (let at = 0; at < bytes.length; ) {
        const count = 1 + prng.below(prng.below(3) === 0 ? 20 : 40_000);
        peer.send(bytes.subarray(at, at + count));
        at += count;
        if (prng.below(4) === 0) await world.clock.settle();
      }
      if (prng.below(2) === 0) await world.clock.settle();
      if (prng.below(2) === 0) peer.connection.end();
      else peer.connection.destroy(prng.below(2) === 0 ? "reset" : undefined);
    }
    await world.clock.tick(60_000);
    expect([world.server.connections(), world.disk.inflight, world.readOnly.inflight]).toEqual([
      0, 0, 0,
    ]);
    expect(world.log.lines.filter((line) => line.level === "error")).toEqual([]);
    const client = await world.client();
    await client.write(0, new Uint8Array([1, 2, 3]));
    expect(await client.read(0, 3)).toEqual(new Uint8Array([1, 2, 3]));
    expect(world.clock.timerCount()).toBe(1);
  });

  it("never changes a read-only export, whatever is sent (P10)", async () => {
    const prng = createPrng(SEED + 1);
    const world = await fakeNbdWorld();
    const head = [CLIENT_FLAGS, encodeNbdOption(nbdOption.go, goData("disk@rp1"))];
    for (let round = 0; round < 20; round++) {
      const peer = await dialRaw(world);
      peer.send(...head);
      for (let i = 0; i < 20; i++) {
        const command = 1 + prng.below(6);
        const flags = prng.below(3) === 0 ? prng.below(32) : 0;
        const offset = prng.below(4096);
        if (command === 2) continue;
        peer.send(request({ command, flags, length: 512, offset }));
        if (command === 1) peer.send(prng.fill(new Uint8Array(512)));
      }
      peer.send(mutate(prng, validSession(prng)));
      await world.clock.settle();
      peer.connection.destroy();
    }
    await world.clock.tick(60_000);
    const runs = await world.readOnly.runs(0, DISK_BYTES);
    expect(runs).toEqual([{ lengthBytes: DISK_BYTES, kind: "zero" }]);
  });
});
