/**
 * Block I/O between front-ends and owners on different CVMs: one stream a pair of CVMs, any number of
 * requests under way on it, answers in any order.
 *
 * A front-end that gives a stream up repeats its writes on another one, and its client goes on. So a
 * write of a stream that has ended, or that has a successor, is not put into the log any more, wherever
 * it was held up (P1). Neither is one whose client has left its front-end: it is told to be forgotten.
 */

import { concatBytes } from "../../base/bytes.ts";
import {
  AntipodeError,
  codeOf,
  type ErrorCode,
  isErrorCode,
  messageOf,
} from "../../base/errors.ts";
import type { OwnerRecord } from "../../base/siteRecords.ts";
import type { Infer } from "../../base/wire.ts";
import type { Clock, Timer } from "../../platform/clock.ts";
import { type Binding, type RpcClient, type RpcStream, serveStream } from "../../platform/rpc.ts";
import { type IoRequest, type IoResponse, IoService } from "../../platform/wire/oplog.ts";
import { FrontEndStreams } from "./frontEndStreams.ts";
import {
  FORWARD_ANSWER_MS_MAX,
  FORWARDED_IN_FLIGHT_MAX,
  FORWARDED_RANGE_BYTES_MAX,
  IO_BYTES_MAX,
} from "./limits.ts";
import type { OwnedVdisk, Wish } from "./ownedVdisk.ts";

type Request = Infer<typeof IoRequest>;
type Response = Infer<typeof IoResponse>;
type Stream = RpcStream<Request, Response>;
type IoOnly = Request & { readonly operation: Exclude<Request["operation"], "forget"> };

interface Waiting {
  readonly vdiskId: string;
  readonly client: AbortSignal | undefined;
  readonly resolve: (response: Response) => void;
  readonly reject: (error: unknown) => void;
  readonly untilMs: number;
}

const WATCH_EVERY_MS = 250;

export interface IoForwarderOptions {
  readonly client: RpcClient;
  readonly clock: Clock;
  /** Identity of this process: the owner tells by it which streams are ours. */
  readonly frontEnd: string;
  /** May the other CVM still answer for this vDisk? */
  readonly serves: (vdiskId: string) => boolean;
}

/** What a front-end knows of who serves; a view, possibly late. */
export interface OwnerView {
  owner(vdiskId: string): OwnerRecord | undefined;
  isLive(cvm: number): boolean;
}

/** May a request still be answered by this CVM, as far as the view knows? When it knows nothing, it may. */
export function mayServe(view: OwnerView, vdiskId: string, cvm: number): boolean {
  const record = view.owner(vdiskId);
  if (record === undefined) return true;
  if (view.isLive(record.owner)) return record.owner === cvm;
  const heir = record.peers.find((peer) => view.isLive(peer));
  return heir === undefined || heir === cvm;
}

/**
 * The front-end's side of the stream to one other CVM. The stream is given up, with all that waits on it,
 * when an answer is late, and already when the view says that another CVM serves a vDisk that waits: the
 * owner may be cut off. Giving up single requests would not do: a write must not come into the log when its
 * repetition elsewhere was acknowledged, and only the end of the stream keeps it out (P1).
 */
export class IoForwarder {
  readonly #options: IoForwarderOptions;
  #stream: Stream | undefined;
  /** The stream has carried no request yet. */
  #isFresh = false;
  #nextId = 1;
  readonly #waiting = new Map<number, Waiting>();
  #timer: Timer | undefined;

  constructor(options: IoForwarderOptions) {
    this.#options = options;
  }

  /**
   * Carries out one request at the other CVM.
   * @param client tells the requests of one client from others, for `forget`
   * @throws the owner's AntipodeError; `PEER_UNREACHABLE` when its outcome is not known
   */
  async call(request: Omit<Request, "id" | "frontEnd">, client?: AbortSignal): Promise<Response> {
    const id = this.#nextId++;
    const stream = this.#stream ?? this.#open();
    const frontEnd = this.#isFresh ? this.#options.frontEnd : "";
    this.#isFresh = false;
    const answer = new Promise<Response>((resolve, reject) => {
      this.#waiting.set(id, {
        vdiskId: request.vdiskId,
        client,
        resolve,
        reject,
        untilMs: this.#options.clock.now() + FORWARD_ANSWER_MS_MAX,
      });
    });
    this.#watch();
    stream.send({ id, frontEnd, ...request }).catch((error: unknown) => {
      this.#break(stream, error);
    });
    const response = await answer;
    if (response.errorCode === "") return response;
    const code: ErrorCode = isErrorCode(response.errorCode) ? response.errorCode : "INTERNAL";
    throw new AntipodeError(code, response.errorMessage, { vdiskId: request.vdiskId });
  }

  /** The client has left: what of its requests is not in the log must not come there. They end as they end. */
  forget(client: AbortSignal): void {
    const stream = this.#stream;
    if (stream === undefined) return;
    const nothing = { offsetBytes: 0, lengthBytes: 0, data: new Uint8Array(0), frontEnd: "" };
    for (const [id, { vdiskId, client: asking }] of this.#waiting)
      if (asking === client)
        stream.send({ ...nothing, id, vdiskId, operation: "forget" }).catch((error: unknown) => {
          this.#break(stream, error);
        });
  }

  close(): void {
    if (this.#stream !== undefined)
      this.#break(this.#stream, new AntipodeError("CANCELLED", "shutting down"));
  }

  #open(): Stream {
    const stream = this.#options.client.stream(IoService.io);
    this.#stream = stream;
    this.#isFresh = true;
    void this.#receive(stream);
    return stream;
  }

  async #receive(stream: Stream): Promise<void> {
    try {
      for await (const response of stream.incoming) {
        const waiting = this.#waiting.get(response.id);
        this.#waiting.delete(response.id);
        waiting?.resolve(response);
      }
      throw new AntipodeError("PEER_UNREACHABLE", "the owner's CVM ended the stream");
    } catch (error) {
      this.#break(stream, error);
    }
  }

  #watch(): void {
    this.#timer ??= this.#options.clock.after(WATCH_EVERY_MS, () => {
      this.#timer = undefined;
      const reason = this.#reasonToGiveUp();
      if (reason !== undefined && this.#stream !== undefined)
        this.#break(this.#stream, new AntipodeError("PEER_UNREACHABLE", reason));
      if (this.#waiting.size > 0) this.#watch();
    });
  }

  #reasonToGiveUp(): string | undefined {
    const now = this.#options.clock.now();
    const vdiskIds = new Set<string>();
    for (const one of this.#waiting.values()) {
      if (one.untilMs < now) return "the owner's CVM does not answer";
      vdiskIds.add(one.vdiskId);
    }
    for (const vdiskId of vdiskIds)
      if (!this.#options.serves(vdiskId)) return "another CVM serves the vDisk now";
    return undefined;
  }

  #break(stream: Stream, cause: unknown): void {
    if (this.#stream !== stream) return;
    this.#stream = undefined;
    stream.cancel();
    const error =
      cause instanceof AntipodeError
        ? cause
        : new AntipodeError("PEER_UNREACHABLE", "the stream to the owner's CVM broke", {}, cause);
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const one of waiting) one.reject(error);
  }
}

/** Whether somebody still waits for one forwarded request. */
class ForwardedWish implements Wish {
  readonly #stream: AbortSignal;
  isForgotten = false;

  constructor(stream: AbortSignal) {
    this.#stream = stream;
  }

  get aborted(): boolean {
    return this.isForgotten || this.#stream.aborted;
  }
}

/** Serves forwarded I/O for vDisks that this CVM owns (or takes over when asked and due). */
export function ioBindings(serve: (vdiskId: string) => Promise<OwnedVdisk>): readonly Binding[] {
  const streams = new FrontEndStreams();
  return [
    serveStream(IoService.io, async (stream, context) => {
      const abort = new AbortController();
      const onEnd = (): void => {
        abort.abort();
      };
      context.signal.addEventListener("abort", onEnd);
      let frontEnd: string | undefined;
      try {
        const underWay = new Set<Promise<void>>();
        const wishes = new Map<number, ForwardedWish>();
        for await (const request of stream.incoming) {
          if (frontEnd === undefined) {
            frontEnd = request.frontEnd;
            if (!streams.enter(frontEnd, request.id, abort))
              throw new AntipodeError("CANCELLED", "this front-end has a newer stream");
          }
          if (!isIo(request)) {
            const forgotten = wishes.get(request.id);
            if (forgotten !== undefined) forgotten.isForgotten = true;
            continue;
          }
          const wish = new ForwardedWish(abort.signal);
          wishes.set(request.id, wish);
          const one = answer(serve, request, wish)
            .then((response) => stream.send(response))
            .catch(() => {
              // The caller is gone with the stream; it asks again at whoever owns the vDisk then.
            })
            .finally(() => {
              wishes.delete(request.id);
              underWay.delete(one);
            });
          underWay.add(one);
          if (underWay.size >= FORWARDED_IN_FLIGHT_MAX && !abort.signal.aborted)
            await firstOf(underWay);
        }
        await Promise.all(underWay);
      } finally {
        if (frontEnd !== undefined) streams.leave(frontEnd, abort);
        context.signal.removeEventListener("abort", onEnd);
      }
    }),
  ];
}

function isIo(request: Request): request is IoOnly {
  return request.operation !== "forget";
}

/** Resolves when any of the promises has; they never reject. */
function firstOf(promises: ReadonlySet<Promise<void>>): Promise<void> {
  return new Promise((resolve) => {
    for (const promise of promises) void promise.then(resolve);
  });
}

async function answer(
  serve: (vdiskId: string) => Promise<OwnedVdisk>,
  request: IoOnly,
  wish: Wish,
): Promise<Response> {
  const empty = {
    id: request.id,
    data: new Uint8Array(0),
    runs: [],
    errorCode: "",
    errorMessage: "",
  };
  try {
    checkRequest(request);
    const owned = await serve(request.vdiskId);
    if (wish.aborted) throw new AntipodeError("CANCELLED", "nobody waits for this any more");
    switch (request.operation) {
      case "read":
        return {
          ...empty,
          data: joined(await owned.read(request.offsetBytes, request.lengthBytes)),
        };
      case "write":
        await owned.write(request.offsetBytes, request.data, wish);
        return empty;
      case "zero":
        await owned.zero(request.offsetBytes, request.lengthBytes, wish);
        return empty;
      case "runs": {
        const runs = await owned.runs(request.offsetBytes, request.lengthBytes);
        return {
          ...empty,
          runs: runs.map((run) => ({ lengthBytes: run.lengthBytes, zero: run.kind === "zero" })),
        };
      }
    }
  } catch (error) {
    return { ...empty, errorCode: codeOf(error) ?? "INTERNAL", errorMessage: messageOf(error) };
  }
}

/** Front-ends split what is longer. @throws AntipodeError `MESSAGE_INVALID` */
function checkRequest({ operation, lengthBytes, data }: IoOnly): void {
  const carries = operation === "read" || operation === "write";
  const isTooLong = lengthBytes > (carries ? IO_BYTES_MAX : FORWARDED_RANGE_BYTES_MAX);
  const dataLength = operation === "write" ? lengthBytes : 0;
  if (isTooLong || data.length !== dataLength)
    throw new AntipodeError(
      "MESSAGE_INVALID",
      `a forwarded ${operation} of ${lengthBytes} bytes with ${data.length} bytes of data`,
    );
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const [only] = parts;
  return parts.length === 1 && only !== undefined ? only : concatBytes(parts);
}
