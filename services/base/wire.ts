/**
 * The wire: protobuf messages declared once in TypeScript, from which both their type and their
 * codec follow. `proto/` holds the same contract for other languages; a test holds every
 * declaration here against its `.proto` file, by number and by type, and against a reference codec.
 *
 * Why not generated code: 64-bit fields are numbers here, asserted to be safe integers; byte fields
 * are views of the frame they came in, so that bulk data is not copied; and a process starts without
 * parsing schemas (see ADR 0002).
 *
 * proto3 rules: scalar fields with their default value are not written; unknown fields are skipped;
 * the last value of a repeated scalar key wins. Fields that are messages may be `undefined`.
 *
 * This is the door. Inside, wire/fields.ts has fields as data, wire/plan.ts a message's fields as
 * wire/read.ts and wire/write.ts use them, wire/varint.ts long numbers.
 */

import {
  type Fields,
  type ValueOf,
  type WireCodec,
  WireError,
  type WireMessage,
} from "./wire/fields.ts";
import { type Plan, planOf, type Values } from "./wire/plan.ts";
import { readMessage } from "./wire/read.ts";
import { sizeOfMessage, writeMessage } from "./wire/write.ts";

export {
  type Field,
  type Fields,
  field,
  type Infer,
  type WireCodec,
  WireError,
  type WireMessage,
} from "./wire/fields.ts";

class Message<T extends object> implements WireMessage<T> {
  readonly name: string;
  readonly fields: Fields;
  /** Made with the first value: most messages that a process declares it never uses. */
  #plan: Plan | undefined;

  constructor(name: string, fields: Fields) {
    this.name = name;
    this.fields = fields;
  }

  encode(value: T): Uint8Array {
    return writeMessage(this.#planned(), value as Values);
  }

  decode(bytes: Uint8Array): T {
    return readMessage(this.#planned(), bytes) as T;
  }

  size(value: T): number {
    return sizeOfMessage(this.#planned(), value as Values);
  }

  #planned(): Plan {
    this.#plan ??= planOf(this.fields);
    return this.#plan;
  }
}

/**
 * Declares a message type.
 * @param name full protobuf name
 * @param fields field name in camelCase → field; `.proto` has it in snake_case
 */
export function message<F extends Fields>(
  name: string,
  fields: F,
): WireMessage<{ readonly [K in keyof F]: ValueOf<F[K]> }> {
  const all = Object.values(fields);
  if (new Set(all.map((one) => one.number)).size !== all.length)
    throw new WireError(`${name} uses a field number twice`);
  return new Message(name, fields);
}

/** How many messages flow each way in a call. */
export type MethodKind = "unary" | "clientStream" | "serverStream" | "duplex";

/** One method of a service: what the rpc port needs to call or to serve it. */
export interface Method<Request, Response, Kind extends MethodKind = MethodKind> {
  /** `/antipode.stargate.v1.StargateService/CreateVdisk` */
  readonly path: string;
  readonly kind: Kind;
  readonly request: WireCodec<Request>;
  readonly response: WireCodec<Response>;
}

/** Declares a method of a service, e.g. `method("antipode.x.v1.XService", "DoIt", "unary", A, B)`. */
export function method<Request, Response, Kind extends MethodKind>(
  service: string,
  name: string,
  kind: Kind,
  request: WireCodec<Request>,
  response: WireCodec<Response>,
): Method<Request, Response, Kind> {
  return { path: `/${service}/${name}`, kind, request, response };
}
