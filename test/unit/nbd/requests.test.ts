/** The request machine: what is taken, what is refused with which errno, and that it stays in step. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { concatBytes } from "../../../services/base/bytes.ts";
import { nbdErrno } from "../../../services/base/errors.ts";
import { NBD_PAYLOAD_BYTES_MAX, nbdCommand, nbdCommandFlag } from "../../../services/base/nbd.ts";
import {
  type ExportRules,
  type NbdRequest,
  NbdRequests,
} from "../../../services/stargate/nbd/requests.ts";
import { request } from "../../support/nbdWorld.ts";

const RULES: ExportRules = {
  sizeBytes: 2 ** 40,
  readOnly: false,
  structuredReplies: true,
  allocationContext: true,
};

function only(bytes: Uint8Array, rules: Partial<ExportRules> = {}): NbdRequest {
  const requests = new NbdRequests({ ...RULES, ...rules });
  requests.input.push(bytes);
  const next = requests.next();
  if (typeof next === "string") throw new Error(next);
  return next;
}

describe("NBD requests", () => {
  const { EINVAL, ENOSPC, EPERM } = nbdErrno;
  const { read, write, flush, trim, writeZeroes, blockStatus } = nbdCommand;
  it.each([
    ["READ of no bytes", { command: read, length: 0 }, {}, EINVAL],
    ["READ past the end", { command: read, offset: 2 ** 40 - 1, length: 2 }, {}, EINVAL],
    ["READ at 2^63", { command: read, offset: 2 ** 63, length: 1 }, {}, EINVAL],
    ["READ up to the end", { command: read, offset: 2 ** 40 - 2, length: 2 }, {}, 0],
    ["READ of 32 MiB", { command: read, length: NBD_PAYLOAD_BYTES_MAX }, {}, 0],
    ["READ of more", { command: read, length: NBD_PAYLOAD_BYTES_MAX + 1 }, {}, EINVAL],
    ["READ with DF", { command: read, length: 1, flags: nbdCommandFlag.df }, {}, 0],
    [
      "DF without structured replies",
      { command: read, length: 1, flags: nbdCommandFlag.df },
      { structuredReplies: false },
      EINVAL,
    ],
    [
      "READ with REQ_ONE",
      { command: read, length: 1, flags: nbdCommandFlag.requestOne },
      {},
      EINVAL,
    ],
    ["READ with FUA", { command: read, length: 1, flags: nbdCommandFlag.fua }, {}, 0],
    ["FLUSH", { command: flush }, {}, 0],
    ["FLUSH of a read-only export", { command: flush }, { readOnly: true }, 0],
    ["TRIM of 4 GiB", { command: trim, length: 0xffff_ffff }, {}, 0],
    ["TRIM past the end", { command: trim, offset: 2 ** 40, length: 1 }, {}, EINVAL],
    ["TRIM of a read-only export", { command: trim, length: 1 }, { readOnly: true }, EPERM],
    ["WRITE_ZEROES past the end", { command: writeZeroes, offset: 2 ** 40, length: 1 }, {}, ENOSPC],
    [
      "WRITE_ZEROES with NO_HOLE",
      { command: writeZeroes, length: 1, flags: nbdCommandFlag.noHole },
      {},
      0,
    ],
    [
      "WRITE_ZEROES with FAST_ZERO, which is not offered",
      { command: writeZeroes, length: 1, flags: nbdCommandFlag.fastZero },
      {},
      EINVAL,
    ],
    ["BLOCK_STATUS", { command: blockStatus, length: 1 }, {}, 0],
    [
      "BLOCK_STATUS that was not negotiated",
      { command: blockStatus, length: 1 },
      { allocationContext: false },
      EINVAL,
    ],
    ["CACHE, which is not offered", { command: 5, length: 1 }, {}, EINVAL],
    ["an unknown command", { command: 999, length: 1 }, {}, EINVAL],
  ] as const)("answers %s as it must (P10)", (_what, parts, rules, errno) => {
    expect(only(request(parts), rules).errno).toBe(errno);
  });

  it.each([
    ["past the end", { offset: 2 ** 40 }, {}, ENOSPC],
    ["to a read-only export", {}, { readOnly: true }, EPERM],
    ["with an unknown flag", { flags: 64 }, {}, EINVAL],
  ] as const)(
    "refuses WRITE %s and stays in step with what follows (N5)",
    (_what, parts, rules, errno) => {
      const requests = new NbdRequests({ ...RULES, ...rules });
      const refused = request({ command: write, length: 5000, ...parts });
      requests.input.push(
        concatBytes([refused, new Uint8Array(5000), request({ command: flush })]),
      );
      expect(requests.next()).toMatchObject({ command: write, errno, data: undefined });
      expect(requests.next()).toMatchObject({ command: flush, errno: 0 });
      expect(requests.next()).toBe("starved");
    },
  );

  it("skips the data of a WRITE of 4 GiB without keeping it (N5)", () => {
    const requests = new NbdRequests(RULES);
    requests.input.push(request({ command: write, length: 100 * 1024 * 1024 }));
    const chunk = new Uint8Array(1024 * 1024);
    for (let sent = 0; sent < 100; sent++) {
      expect(requests.next()).toBe("starved");
      requests.input.push(chunk);
    }
    expect(requests.next()).toMatchObject({ command: write, errno: EINVAL, data: undefined });
    expect(requests.input.length).toBe(0);
  });

  it("says garbage to a wrong magic", () => {
    const requests = new NbdRequests(RULES);
    requests.input.push(new Uint8Array(28));
    expect(requests.next()).toBe("garbage");
  });

  it("hands over a WRITE that came whole as a view of what arrived", () => {
    const bytes = concatBytes([
      request({ command: write, length: 4 }),
      new Uint8Array([1, 2, 3, 4]),
    ]);
    expect(only(bytes).data?.buffer).toBe(bytes.buffer);
  });

  it("gives the same requests however the stream is cut", () => {
    const wish = fc.record({
      command: fc.constantFrom(read, write, flush, trim, 77),
      length: fc.nat({ max: 300 }),
      offset: fc.constantFrom(0, 4096, 2 ** 40),
      cookie: fc.nat(),
    });
    fc.assert(
      fc.property(
        fc.array(wish, { maxLength: 12 }),
        fc.infiniteStream(fc.nat({ max: 90 })),
        (wishes, cuts) => {
          const bytes = concatBytes(
            wishes.flatMap((w) => [
              request(w),
              w.command === write ? new Uint8Array(w.length).fill(w.cookie) : new Uint8Array(0),
            ]),
          );
          const collect = (push: (requests: NbdRequests) => Iterable<Uint8Array>): unknown[] => {
            const requests = new NbdRequests(RULES);
            const found: unknown[] = [];
            for (const chunk of push(requests)) {
              requests.input.push(chunk);
              for (let next = requests.next(); typeof next !== "string"; next = requests.next())
                found.push({ ...next, data: next.data === undefined ? undefined : [...next.data] });
            }
            return found;
          };
          const whole = collect(() => [bytes]);
          const pieces = collect(function* () {
            for (let at = 0; at < bytes.length; ) {
              const cut = cuts.next();
              const count = cut.done === true ? 1 : cut.value + 1;
              yield bytes.subarray(at, at + count);
              at += count;
            }
          });
          expect(whole.length).toBe(wishes.length);
          expect(pieces).toEqual(whole);
        },
      ),
      { numRuns: 200 },
    );
  });
});
