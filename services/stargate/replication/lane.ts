/**
 * One stream to one target: requests go out in order, answers come back in order, so that a request
 * is matched by its sequence number. A lane lives until its stream breaks, the peer answers out of
 * order, or no answer comes for too long; then every open request fails, and the pool of targets
 * (target.ts) decides where to ask again. A lane is never repaired, only replaced.
 */

import { assert } from "../../base/assert.ts";
import { AntipodeError } from "../../base/errors.ts";
import type { Infer } from "../../base/wire.ts";
import type { Clock, Timer } from "../../platform/clock.ts";
import type { RpcClient } from "../../platform/rpc.ts";
import {
  ReceiveRequest,
  type ReceiveResponse,
  ReceiveService,
} from "../../platform/wire/stargate.ts";

export type Request = Omit<Infer<typeof ReceiveRequest>, "sequence">;
export type Answer = Infer<typeof ReceiveResponse>;

/** What became of a request. */
export type Outcome =
  /** The target may have refused it: see `errorCode`. */
  | { readonly kind: "answered"; readonly answer: Answer }
  /** The lane broke before the answer came; the request may have been carried out. */
  | { readonly kind: "broken"; readonly reason: Error };

/** Compression flag and length that gRPC puts before every message. */
const GRPC_FRAME_BYTES = 5;

/** A stream with requests under way. */
export interface Lane {
  ask(request: Request): Promise<Outcome>;
  readonly isBroken: boolean;
  /** Ends the stream well; nothing may be under way. */
  end(): void;
  /** Breaks the stream; what is under way fails with the reason. */
  break(reason: Error): void;
}

export interface LaneOptions {
  readonly client: Pick<RpcClient, "stream" | "address">;
  readonly clock: Clock;
  /** Longest silence while requests are open. */
  readonly watchdogMs: number;
  /** Bytes of a message as it leaves, with its frame. */
  readonly onSent: (bytes: number) => void;
  readonly onAnswer: () => void;
  readonly onBroken: (reason: Error) => void;
}

interface Open {
  readonly sequence: number;
  readonly resolve: (outcome: Outcome) => void;
}

/** Opens a stream. */
export function createLane(options: LaneOptions): Lane {
  const { client, clock } = options;
  const stream = client.stream(ReceiveService.receive);
  const open: Open[] = [];
  let lastSequence = 0;
  let broken: Error | undefined;
  let ended = false;
  let watchdog: Timer | undefined;
  /** Sends one after the other: the transport's backpressure reaches every later request. */
  let sending: Promise<void> = Promise.resolve();

  const breakWith = (reason: Error): void => {
    if (broken !== undefined || ended) return;
    broken = reason;
    watchdog?.cancel();
    stream.cancel();
    options.onBroken(reason);
    for (const { resolve } of open.splice(0)) resolve({ kind: "broken", reason });
  };
  const watch = (): void => {
    watchdog?.cancel();
    watchdog =
      open.length === 0
        ? undefined
        : clock.after(options.watchdogMs, () => {
            breakWith(silence(client, options.watchdogMs));
          });
  };
  const onAnswer = (answer: Answer): void => {
    const first = open.shift();
    if (first?.sequence !== answer.sequence) {
      if (first !== undefined) open.unshift(first);
      breakWith(new AntipodeError("MESSAGE_INVALID", "a target answered out of order"));
      return;
    }
    watch();
    options.onAnswer();
    first.resolve({ kind: "answered", answer });
  };
  const listen = async (): Promise<void> => {
    try {
      for await (const answer of stream.incoming) onAnswer(answer);
      breakWith(new AntipodeError("PEER_UNREACHABLE", "a target ended the stream"));
    } catch (error) {
      breakWith(asError(error));
    }
  };
  const send = async (message: Infer<typeof ReceiveRequest>): Promise<void> => {
    if (broken !== undefined) return;
    options.onSent(ReceiveRequest.size(message) + GRPC_FRAME_BYTES);
    try {
      await stream.send(message);
    } catch (error) {
      breakWith(asError(error));
    }
  };
  void listen();

  return {
    ask(request) {
      if (broken !== undefined) return Promise.resolve({ kind: "broken", reason: broken });
      assert(!ended, "nothing is asked on a lane that has ended");
      lastSequence += 1;
      const message = { ...request, sequence: lastSequence };
      return new Promise((resolve) => {
        open.push({ sequence: message.sequence, resolve });
        if (open.length === 1) watch();
        sending = sending.then(() => send(message));
      });
    },
    get isBroken() {
      return broken !== undefined;
    },
    end() {
      if (broken !== undefined) return;
      ended = true;
      watchdog?.cancel();
      stream.end();
    },
    break: breakWith,
  };
}

function silence(client: Pick<RpcClient, "address">, watchdogMs: number): AntipodeError {
  const { host, port } = client.address;
  return new AntipodeError("DEADLINE_EXCEEDED", "a target has not answered", {
    host,
    port,
    watchdogMs,
  });
}

function asError(error: unknown): Error {
  return error instanceof Error
    ? error
    : new AntipodeError("PEER_UNREACHABLE", "the stream to a target broke", {}, error);
}
