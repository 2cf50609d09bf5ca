/**
 * A message's fields as reader and writer use them: flat, in the order of declaration, with all that
 * can be computed before. A plan is made when its message is first used, and once: a process uses
 * few of the messages that it declares.
 *
 * Invariant: all values that a plan makes get the same properties in the same order, so they share
 * one hidden class, and code that uses them stays monomorphic.
 */

import {
  FIXED64,
  type Field,
  type Fields,
  LENGTH,
  OP,
  type Op,
  VARINT,
  type WireMessage,
} from "./fields.ts";

/** Fields with smaller numbers are found in an array, the others in a map. */
const NEAR_NUMBERS = 32;

/** A value of a message while it is read or written. */
export type Values = Record<string, unknown>;

/** One field of a message. */
export class Slot {
  readonly key: string;
  readonly kind: string;
  /** Place in the order of declaration. */
  readonly index: number;
  readonly op: Op;
  readonly wireType: number;
  /** Number and wire type, as they stand before a value. */
  readonly tag: number;
  readonly repeated: boolean;
  readonly absent: unknown;
  readonly names: readonly string[];
  readonly of: WireMessage<unknown> | undefined;
  /** See `innerOf`. */
  inner: Plan | undefined;

  constructor(key: string, index: number, field: Field<unknown>) {
    this.key = key;
    this.kind = field.kind;
    this.index = index;
    this.op = field.op;
    this.wireType = wireTypeOf(field.op);
    this.tag = field.number * 8 + this.wireType;
    this.repeated = field.repeated;
    this.absent = field.absent;
    this.names = field.names;
    this.of = field.of;
    this.inner = undefined;
  }
}

/** The plan of a message field: found when it is first needed, because messages may contain themselves. */
export function innerOf(slot: Slot): Plan {
  slot.inner ??= planOf(slot.of?.fields ?? {});
  return slot.inner;
}

/** How a message is read and written. */
export class Plan {
  readonly slots: readonly Slot[];
  /** Makes a value without properties yet, of the hidden class of this message alone. */
  readonly Value: new () => Values;
  /** Slots by number; `undefined` where there is none. */
  readonly near: (Slot | undefined)[];
  readonly far: Map<number, Slot> | undefined;

  constructor(fields: Fields) {
    this.slots = Object.entries(fields).map(([key, one], index) => new Slot(key, index, one));
    this.near = Array.from({ length: NEAR_NUMBERS }, () => undefined);
    let far: Map<number, Slot> | undefined;
    for (const slot of this.slots) {
      const number = Math.floor(slot.tag / 8);
      if (number < NEAR_NUMBERS) this.near[number] = slot;
      else far = (far ?? new Map<number, Slot>()).set(number, slot);
    }
    this.far = far;
    this.Value = valueClass();
    settle(this);
  }
}

/** The field of a tag, by its number; `undefined` for an unknown one. */
export function slotOf(plan: Plan, tag: number): Slot | undefined {
  if (tag < NEAR_NUMBERS * 8) return plan.near[tag >>> 3];
  return plan.far?.get(Math.floor(tag / 8));
}

const plans = new WeakMap<Fields, Plan>();

/** The plan of a message type, by its fields. */
export function planOf(fields: Fields): Plan {
  const known = plans.get(fields);
  if (known !== undefined) return known;
  const plan = new Plan(fields);
  plans.set(fields, plan);
  return plan;
}

function wireTypeOf(op: Op): number {
  if (op === OP.double) return FIXED64;
  return op === OP.bytes || op === OP.string || op === OP.message ? LENGTH : VARINT;
}

/**
 * A function of its own a message: V8 gives its values room for exactly their properties, once it has
 * seen a few. Their prototype is that of every plain object.
 */
function valueClass(): new () => Values {
  // biome-ignore lint/complexity/useArrowFunction: an arrow function makes no objects
  const Value = function (): void {} as unknown as new () => Values;
  Value.prototype = Object.prototype;
  return Value;
}

/**
 * Shows V8 values of several representations for every property, so that it settles on the general
 * one now: else the first number beyond 31 bits in a field would change the hidden class of all values.
 */
function settle(plan: Plan): void {
  for (const sample of [undefined, 0, 0.5]) {
    const value = new plan.Value();
    for (const slot of plan.slots) value[slot.key] = sample;
  }
}
