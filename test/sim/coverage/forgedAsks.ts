/**
 * What no service of antipode sends, but anybody who reaches its ports can: speaks for another site, offers a
 * recovery point that nobody signed, forwards what is no block I/O.
 */

import { AntipodeError, isErrorCode } from "../../../services/base/errors.ts";
import { MIB } from "../../../services/base/units.ts";
import type { Infer } from "../../../services/base/wire.ts";
import { type IoRequest, IoService } from "../../../services/platform/wire/oplog.ts";
import { RemoteCerebroService } from "../../../services/platform/wire/remoteCerebro.ts";
import { VdiskService } from "../../../services/platform/wire/stargate.ts";
import { OUTSIDE } from "../world/world.ts";
import { type Asked, CALL_MS, DISK, PD, type WrongAsk, wrong } from "./wrongAsks.ts";

const STRANGER = "stranger";
const SECTOR_BYTES = 512;

const sender = (key: number) => ({
  site: STRANGER,
  incarnation: "5".repeat(32),
  epoch: 1,
  publicKey: Uint8Array.of(key, 2, 3),
});

const unsigned = {
  id: "f".repeat(32),
  name: "forged",
  protectionDomain: PD,
  generation: 1,
  sourceSite: STRANGER,
  createdAtMs: 0,
  parentId: "",
  disks: [],
  holdMs: 0,
  signature: "ab",
};

/** Wrong at every site at any time. */
export const forgedAsks: readonly WrongAsk[] = [
  wrong(
    "a recovery point that its site has not signed",
    ["SIGNATURE_INVALID"],
    async ({ world, member }) => {
      const forged = {
        sender: sender(1),
        recoveryPoint: unsigned,
        ...{ placements: [], generation: 1 },
      };
      const { recordRecoveryPoint } = RemoteCerebroService;
      await world.call(member.cerebro, recordRecoveryPoint, forged, CALL_MS);
    },
  ),
  wrong(
    "an answer to a site that has another key than before",
    ["REMOTE_IDENTITY_CHANGED"],
    async ({ world, member }) => {
      const { hello } = RemoteCerebroService;
      await world.call(member.cerebro, hello, { sender: sender(1), standings: [] }, CALL_MS);
      await world.call(member.cerebro, hello, { sender: sender(2), standings: [] }, CALL_MS);
    },
  ),
];

/** Block I/O that no front-end forwards, at the owner of the careless user's vDisk or at another CVM. */
export const wrongForwards: readonly WrongAsk[] = [
  wrong("a forwarded read behind a vDisk's end", ["OUT_OF_RANGE", "VDISK_NOT_FOUND"], (asked) =>
    forward(asked, { operation: "read", offsetBytes: MIB, lengthBytes: SECTOR_BYTES }),
  ),
  wrong("a forwarded write without its data", ["MESSAGE_INVALID", "VDISK_NOT_FOUND"], (asked) =>
    forward(asked, { operation: "write", offsetBytes: 0, lengthBytes: SECTOR_BYTES }),
  ),
];

async function forward(
  { world, member, requestId }: Asked,
  io: Pick<Infer<typeof IoRequest>, "operation" | "offsetBytes" | "lengthBytes">,
): Promise<void> {
  const { id } = await world.call(member.stargate, VdiskService.showVdisk, { name: DISK }, CALL_MS);
  const stream = world.network.host(OUTSIDE).rpc.connect(member.stargate).stream(IoService.io);
  const timer = world.clock.after(CALL_MS, () => {
    stream.cancel();
  });
  try {
    const request = { ...io, id: 1, vdiskId: id, data: new Uint8Array(0), frontEnd: requestId };
    await stream.send(request);
    for await (const { errorCode, errorMessage } of stream.incoming)
      if (isErrorCode(errorCode)) throw new AntipodeError(errorCode, errorMessage);
      else return;
    throw new AntipodeError("DEADLINE_EXCEEDED", "the forwarded request was not answered");
  } finally {
    timer.cancel();
    stream.cancel();
  }
}
