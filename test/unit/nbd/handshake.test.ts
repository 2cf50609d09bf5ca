/** The handshake machine (services/stargate/nbd/SPEC.md), without a connection. */

import { describe, expect, it } from "vitest";
import { concatBytes, utf8, viewOf } from "../../../services/base/bytes.ts";
import {
  encodeNbdOption,
  encodeNbdString,
  nbdInfo,
  nbdOption,
  nbdReply,
} from "../../../services/base/nbd.ts";
import { type HandshakeEffect, NbdHandshake } from "../../../services/stargate/nbd/handshake.ts";
import { OPTION_BYTES_MAX, OPTIONS_MAX } from "../../../services/stargate/nbd/limits.ts";
import { CLIENT_FLAGS, goData, metaData } from "../../support/nbdWorld.ts";

const INFO = { sizeBytes: 4096, transmissionFlags: 1 };
const NONE = new Uint8Array(0);

/** A machine that has been told the usual client flags. */
function begun(flags: Uint8Array = CLIENT_FLAGS): NbdHandshake {
  const machine = new NbdHandshake();
  machine.input.push(flags);
  return machine;
}

function effects(machine: NbdHandshake): HandshakeEffect[] {
  const all: HandshakeEffect[] = [];
  for (let next = machine.next(); next !== undefined; next = machine.next()) all.push(next);
  return all;
}

/** Reply types in what the machine sends, after the greeting. */
function replyTypes(list: readonly HandshakeEffect[]): number[] {
  const types: number[] = [];
  for (const effect of list) {
    if (effect.kind !== "send") continue;
    for (let at = 0; at < effect.bytes.length; ) {
      const view = viewOf(effect.bytes.subarray(at));
      if (view.getUint32(0) !== 0x0003e889) break;
      types.push(view.getUint32(12));
      at += 20 + view.getUint32(16);
    }
  }
  return types;
}

function ask(machine: NbdHandshake, option: number, data: Uint8Array): HandshakeEffect[] {
  machine.input.push(encodeNbdOption(option, data));
  return effects(machine);
}

const kinds = (list: readonly HandshakeEffect[]): string[] => list.map((effect) => effect.kind);

describe("NBD handshake", () => {
  it("greets with fixed newstyle and NO_ZEROES before it is asked anything", () => {
    const [greeting] = effects(new NbdHandshake());
    expect(greeting).toEqual({
      kind: "send",
      bytes: concatBytes([utf8("NBDMAGICIHAVEOPT"), new Uint8Array([0, 3])]),
    });
  });

  it("opens an export for GO, tells size, block sizes and name, then transmits", () => {
    const machine = begun();
    const wishes = new Uint8Array([0, 1, 0, nbdInfo.name]);
    const data = concatBytes([encodeNbdString("d"), wishes]);
    expect(ask(machine, nbdOption.go, data).at(-1)).toEqual({ kind: "open", exportName: "d" });
    machine.onOpened(INFO);
    const after = effects(machine);
    expect(replyTypes(after)).toEqual([nbdReply.info, nbdReply.info, nbdReply.info, nbdReply.ack]);
    expect(after.at(-1)).toEqual({
      kind: "transmit",
      negotiated: { exportName: "d", structuredReplies: false, allocationContext: false },
    });
  });

  it("stays in the handshake after INFO and after a refused GO", () => {
    const machine = begun();
    ask(machine, nbdOption.info, goData("d"));
    machine.onOpened(INFO);
    expect(replyTypes(effects(machine)).at(-1)).toBe(nbdReply.ack);
    ask(machine, nbdOption.go, goData("nope"));
    machine.onRefused("VDISK_NOT_FOUND: no such vDisk");
    expect(replyTypes(effects(machine))).toEqual([nbdReply.errorUnknown]);
    expect(ask(machine, nbdOption.go, goData("d")).at(-1)?.kind).toBe("open");
  });

  it("answers EXPORT_NAME with 124 zeros only when NO_ZEROES was not agreed", () => {
    const name = utf8("d");
    for (const [flags, length] of [
      [CLIENT_FLAGS, 10],
      [new Uint8Array([0, 0, 0, 1]), 134],
    ] as const) {
      const machine = begun(flags);
      ask(machine, nbdOption.exportName, name);
      machine.onOpened(INFO);
      const [sent, transmit] = effects(machine);
      expect(sent?.kind === "send" ? sent.bytes.length : 0).toBe(length);
      expect(transmit?.kind).toBe("transmit");
    }
  });

  it("closes on EXPORT_NAME of an export that is not there: the protocol has no other answer", () => {
    const machine = begun();
    ask(machine, nbdOption.exportName, utf8("nope"));
    machine.onRefused("gone");
    expect(kinds(effects(machine))).toEqual(["close"]);
  });

  it("negotiates base:allocation for the export it was set for, and only after structured replies", () => {
    const machine = begun();
    expect(
      replyTypes(ask(machine, nbdOption.setMetaContext, metaData("d", "base:allocation"))),
    ).toEqual([nbdReply.errorInvalid]);
    expect(replyTypes(ask(machine, nbdOption.structuredReply, NONE))).toEqual([nbdReply.ack]);
    ask(machine, nbdOption.setMetaContext, metaData("d", "qemu:dirty-bitmap", "base:allocation"));
    machine.onOpened(INFO);
    expect(replyTypes(effects(machine))).toEqual([nbdReply.metaContext, nbdReply.ack]);
    ask(machine, nbdOption.go, goData("d"));
    machine.onOpened(INFO);
    expect(effects(machine).at(-1)).toMatchObject({
      negotiated: { structuredReplies: true, allocationContext: true },
    });
  });

  it("forgets the context when another export is opened", () => {
    const machine = begun();
    ask(machine, nbdOption.structuredReply, NONE);
    ask(machine, nbdOption.setMetaContext, metaData("d", "base:allocation"));
    machine.onOpened(INFO);
    ask(machine, nbdOption.go, goData("other"));
    machine.onOpened(INFO);
    expect(effects(machine).at(-1)).toMatchObject({ negotiated: { allocationContext: false } });
  });

  it("lists contexts for no query, for the namespace and for the full name", () => {
    for (const [queries, count] of [
      [[], 1],
      [["base:"], 1],
      [["base:allocation"], 1],
      [["qemu:"], 0],
    ] as const) {
      const machine = begun();
      ask(machine, nbdOption.structuredReply, NONE);
      ask(machine, nbdOption.listMetaContext, metaData("d", ...queries));
      machine.onOpened(INFO);
      expect(replyTypes(effects(machine)).length).toBe(count + 1);
    }
  });

  it("lists exports, one reply each, and acknowledges", () => {
    const machine = begun();
    expect(ask(machine, nbdOption.list, NONE).at(-1)).toEqual({ kind: "list" });
    machine.onListed(["a", "b"]);
    expect(replyTypes(effects(machine))).toEqual([nbdReply.server, nbdReply.server, nbdReply.ack]);
  });

  it("takes no input while it waits for an export, so answers keep the order of options", () => {
    const machine = begun();
    machine.input.push(encodeNbdOption(nbdOption.info, goData("d")));
    machine.input.push(encodeNbdOption(nbdOption.startTls, NONE));
    expect(kinds(effects(machine))).toEqual(["send", "open"]);
    machine.onOpened(INFO);
    expect(replyTypes(effects(machine))).toEqual([
      nbdReply.info,
      nbdReply.info,
      nbdReply.ack,
      nbdReply.errorUnsupported,
    ]);
  });

  it("refuses unknown options, TLS and extended headers with ERR_UNSUP and goes on (P10)", () => {
    const machine = begun();
    for (const option of [nbdOption.startTls, nbdOption.extendedHeaders, 4, 99, 0xffff_ffff])
      expect(replyTypes(ask(machine, option, new Uint8Array(3)))).toEqual([
        nbdReply.errorUnsupported,
      ]);
  });

  it.each([
    ["LIST with data", nbdOption.list, new Uint8Array(1)],
    ["STRUCTURED_REPLY with data", nbdOption.structuredReply, new Uint8Array(1)],
    ["GO without a name", nbdOption.go, NONE],
    ["GO with a name that is cut off", nbdOption.go, new Uint8Array([0, 0, 0, 9, 65])],
    ["GO with a NUL in its name", nbdOption.go, goData("a\0b")],
    ["GO with text that is not UTF-8", nbdOption.go, new Uint8Array([0, 0, 0, 1, 0xff, 0, 0])],
    ["GO with fewer wishes than announced", nbdOption.go, new Uint8Array([0, 0, 0, 0, 0, 2, 0, 0])],
    ["GO with bytes behind its end", nbdOption.go, concatBytes([goData("d"), new Uint8Array(1)])],
    ["GO with a name over 4 KiB", nbdOption.go, goData("x".repeat(4097))],
  ])("refuses %s with ERR_INVALID and goes on (P10)", (_what, option, data) => {
    const machine = begun();
    expect(replyTypes(ask(machine, option, data))).toEqual([nbdReply.errorInvalid]);
    expect(ask(machine, nbdOption.go, goData("d")).at(-1)?.kind).toBe("open");
  });

  it("refuses a meta context request that announces more queries than it has bytes", () => {
    const machine = begun();
    ask(machine, nbdOption.structuredReply, NONE);
    const data = metaData("d", "base:allocation");
    viewOf(data).setUint32(5, 0xffff_ffff);
    expect(replyTypes(ask(machine, nbdOption.setMetaContext, data))).toEqual([
      nbdReply.errorInvalid,
    ]);
  });

  it("skips an option that is too large without keeping it, and refuses it with ERR_TOO_BIG", () => {
    const machine = begun();
    const option = encodeNbdOption(nbdOption.go, new Uint8Array(OPTION_BYTES_MAX + 1));
    const sent: HandshakeEffect[] = [];
    for (let at = 0; at < option.length; at += 1000) {
      machine.input.push(option.subarray(at, at + 1000));
      sent.push(...effects(machine));
      expect(machine.input.length).toBeLessThan(1000);
    }
    expect(replyTypes(sent)).toEqual([nbdReply.errorTooBig]);
  });

  it.each([
    ["client flags that nobody knows", new Uint8Array([0, 0, 0, 4])],
    ["an option with wrong magic", concatBytes([CLIENT_FLAGS, new Uint8Array(16)])],
    [
      "an option of 4 GiB",
      concatBytes([
        CLIENT_FLAGS,
        encodeNbdOption(7, NONE).subarray(0, 12),
        new Uint8Array(4).fill(255),
      ]),
    ],
    [
      "GO without fixed newstyle",
      concatBytes([new Uint8Array(4), encodeNbdOption(nbdOption.go, goData("d"))]),
    ],
    ["ABORT", concatBytes([CLIENT_FLAGS, encodeNbdOption(nbdOption.abort, NONE)])],
  ])("closes on %s", (_what, bytes) => {
    const machine = new NbdHandshake();
    machine.input.push(bytes);
    expect(effects(machine).at(-1)?.kind).toBe("close");
    machine.input.push(encodeNbdOption(nbdOption.go, goData("d")));
    expect(effects(machine)).toEqual([]);
  });

  it("closes a client that only ever sends options", () => {
    const machine = begun();
    for (let i = 0; i <= OPTIONS_MAX; i++) machine.input.push(encodeNbdOption(99, NONE));
    expect(effects(machine).at(-1)).toEqual({ kind: "close", reason: "too many options" });
  });
});
