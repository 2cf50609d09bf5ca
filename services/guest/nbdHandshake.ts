/**
 * The client's side of NBD's handshake (fixed newstyle): a conversation of small messages, so it is
 * written as one, over a queue of received bytes. A deadline bounds all of it.
 */

import { ByteQueue } from "../base/byteQueue.ts";
import { concatBytes, fromUtf8, viewOf } from "../base/bytes.ts";
import { AntipodeError, isErrorCode } from "../base/errors.ts";
import {
  encodeNbdOption,
  encodeNbdString,
  isNbdReplyError,
  NBD_BASE_ALLOCATION,
  NBD_GREETING_BYTES,
  NBD_OPTION_REPLY_HEADER_BYTES,
  NBD_PAYLOAD_BYTES_MAX,
  nbdHandshakeFlag,
  nbdInfo,
  nbdMagic,
  nbdOption,
  nbdReply,
  readU64be,
} from "../base/nbd.ts";
import { MIB } from "../base/units.ts";
import type { Connection } from "../platform/net.ts";

/** Data of one reply, and replies to one option: what a server may make us hold. */
const REPLY_BYTES_MAX = 1 * MIB;
const REPLIES_MAX = 100_000;

/** What the server said of an export. */
export interface NbdExport {
  readonly sizeBytes: number;
  readonly transmissionFlags: number;
  readonly preferredBlockBytes: number;
  readonly payloadBytesMax: number;
  readonly allocationContext: boolean;
}

/** Who takes over when the conversation is done. */
export interface InboxHandlers {
  /** More bytes are in `queue`. */
  readonly onBytes: () => void;
  readonly onLost: (error: Error) => void;
}

/** Received bytes that a conversation waits for. */
export class ByteInbox {
  readonly queue = new ByteQueue();
  #waiting: { count: number; resolve: () => void; reject: (error: Error) => void } | undefined;
  #failure: Error | undefined;
  #next: InboxHandlers | undefined;

  /** From here on every chunk, and the end, goes to whoever runs the transmission phase. */
  handOver(next: InboxHandlers): void {
    this.#next = next;
    if (this.#failure !== undefined) next.onLost(this.#failure);
    else if (this.queue.length > 0) next.onBytes();
  }

  push(chunk: Uint8Array): void {
    this.queue.push(chunk);
    if (this.#next !== undefined) this.#next.onBytes();
    if (this.#waiting === undefined || this.queue.length < this.#waiting.count) return;
    const { resolve } = this.#waiting;
    this.#waiting = undefined;
    resolve();
  }

  /** No more bytes will come. */
  fail(error: Error): void {
    const first = this.#failure === undefined;
    this.#failure ??= error;
    this.#waiting?.reject(this.#failure);
    this.#waiting = undefined;
    if (first) this.#next?.onLost(error);
  }

  async take(count: number): Promise<Uint8Array> {
    if (this.queue.length < count) {
      if (this.#failure !== undefined) throw this.#failure;
      await new Promise<void>((resolve, reject) => {
        this.#waiting = { count, resolve, reject };
      });
    }
    this.queue.ensure(count);
    return this.queue.take(count);
  }
}

/** Checks the server's greeting and agrees on fixed newstyle without padding. */
export async function greet(connection: Connection, inbox: ByteInbox): Promise<void> {
  const view = viewOf(await inbox.take(NBD_GREETING_BYTES));
  const isNbd =
    view.getUint32(0) === nbdMagic.greetingHigh &&
    view.getUint32(4) === nbdMagic.greetingLow &&
    view.getUint32(8) === nbdMagic.optionHigh &&
    view.getUint32(12) === nbdMagic.optionLow;
  const flags = view.getUint16(16);
  if (!isNbd || (flags & nbdHandshakeFlag.fixedNewstyle) === 0)
    throw new AntipodeError("MESSAGE_INVALID", `${connection.remote} is no NBD server (newstyle)`);
  const answer = new Uint8Array(4);
  viewOf(answer).setUint32(0, flags & (nbdHandshakeFlag.fixedNewstyle | nbdHandshakeFlag.noZeroes));
  connection.write([answer]);
}

/**
 * Chooses an export: structured replies, `base:allocation` where the server has it, GO.
 * @throws AntipodeError `VDISK_NOT_FOUND` or the code that the server names
 */
export async function choose(
  connection: Connection,
  inbox: ByteInbox,
  exportName: string,
): Promise<NbdExport> {
  const ask = (option: number, data: Uint8Array): Promise<readonly Reply[]> => {
    connection.write([encodeNbdOption(option, data)]);
    return readReplies(inbox, option);
  };
  const structured = isAccepted(await ask(nbdOption.structuredReply, new Uint8Array(0)));
  const name = encodeNbdString(exportName);
  let allocationContext = false;
  if (structured) {
    const one = new Uint8Array([0, 0, 0, 1]);
    const query = concatBytes([name, one, encodeNbdString(NBD_BASE_ALLOCATION)]);
    const replies = await ask(nbdOption.setMetaContext, query);
    allocationContext = replies.some((reply) => reply.type === nbdReply.metaContext);
  }
  const wanted = new Uint8Array([0, 1, 0, nbdInfo.blockSize]);
  const replies = await ask(nbdOption.go, concatBytes([name, wanted]));
  if (!isAccepted(replies)) throw refusal(exportName, replies);
  return { ...readInfos(replies), allocationContext };
}

/** Names that the server offers. */
export async function listNames(
  connection: Connection,
  inbox: ByteInbox,
): Promise<readonly string[]> {
  connection.write([encodeNbdOption(nbdOption.list, new Uint8Array(0))]);
  const replies = await readReplies(inbox, nbdOption.list);
  if (!isAccepted(replies)) throw refusal("(list)", replies);
  return replies
    .filter((reply) => reply.type === nbdReply.server)
    .map(({ data }) => {
      const length = data.length < 4 ? 0 : viewOf(data).getUint32(0);
      return fromUtf8(data.subarray(4, 4 + length));
    });
}

interface Reply {
  readonly type: number;
  readonly data: Uint8Array;
}

/** All replies to one option: the last is ACK or an error. */
async function readReplies(inbox: ByteInbox, option: number): Promise<readonly Reply[]> {
  const replies: Reply[] = [];
  while (replies.length < REPLIES_MAX) {
    const view = viewOf(await inbox.take(NBD_OPTION_REPLY_HEADER_BYTES));
    const length = view.getUint32(16);
    const fits =
      view.getUint32(0) === nbdMagic.optionReplyHigh &&
      view.getUint32(4) === nbdMagic.optionReplyLow &&
      view.getUint32(8) === option &&
      length <= REPLY_BYTES_MAX;
    if (!fits) break;
    const type = view.getUint32(12);
    replies.push({ type, data: await inbox.take(length) });
    if (type === nbdReply.ack || isNbdReplyError(type)) return replies;
  }
  throw new AntipodeError("MESSAGE_INVALID", "the NBD server's answer to an option is malformed");
}

function isAccepted(replies: readonly Reply[]): boolean {
  return replies.at(-1)?.type === nbdReply.ack;
}

function readInfos(replies: readonly Reply[]): Omit<NbdExport, "allocationContext"> {
  let exported: { sizeBytes: number; transmissionFlags: number } | undefined;
  let preferredBlockBytes = 4096;
  let payloadBytesMax = NBD_PAYLOAD_BYTES_MAX;
  for (const { type, data } of replies) {
    if (type !== nbdReply.info || data.length < 2) continue;
    const view = viewOf(data);
    const info = view.getUint16(0);
    if (info === nbdInfo.export && data.length === 12)
      exported = { sizeBytes: readU64be(view, 2), transmissionFlags: view.getUint16(10) };
    if (info === nbdInfo.blockSize && data.length === 14) {
      preferredBlockBytes = view.getUint32(6);
      payloadBytesMax = Math.min(payloadBytesMax, view.getUint32(10));
    }
  }
  if (exported === undefined || !Number.isSafeInteger(exported.sizeBytes) || payloadBytesMax < 512)
    throw new AntipodeError("MESSAGE_INVALID", "the NBD server does not tell the export's size");
  return { ...exported, preferredBlockBytes, payloadBytesMax };
}

/** Our servers begin the text with a code; others are taken by the protocol's error type. */
function refusal(exportName: string, replies: readonly Reply[]): AntipodeError {
  const last = replies.at(-1);
  let text = "";
  try {
    text = fromUtf8(last?.data ?? new Uint8Array(0));
  } catch {
    text = "(no readable reason)";
  }
  const code = /^([A-Z_]+): /.exec(text)?.[1];
  if (code !== undefined && isErrorCode(code))
    return new AntipodeError(code, text.slice(code.length + 2), { exportName });
  return new AntipodeError(
    last?.type === nbdReply.errorUnknown ? "VDISK_NOT_FOUND" : "UNIMPLEMENTED",
    `the NBD server refuses export "${exportName}": ${text}`,
    { exportName },
  );
}
