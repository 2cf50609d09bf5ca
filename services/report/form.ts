/**
 * The form of a JSON document, said once: from one form come the type in TypeScript, the reader that
 * checks a file, and the JSON Schema that is published. So the three cannot part.
 *
 * Objects may have keys that the form does not know: a newer version of the same document adds some.
 */

import type { JsonField } from "../base/checkedJson.ts";

export type Json = string | number | boolean | readonly Json[] | { readonly [key: string]: Json };
type Schema = Readonly<Record<string, Json>>;

/** A value of type `T` in a document. */
export interface Form<T> {
  readonly schema: Schema;
  /** @throws AntipodeError of the document, which names the path of what is wrong */
  read(field: JsonField): T;
}

/** A key that may be left out. */
export interface Optional<T> extends Form<T | undefined> {
  readonly optional: true;
}

/** The type of what a form describes. */
export type Of<F> = F extends Form<infer T> ? T : never;

type Keys = Readonly<Record<string, Form<unknown>>>;
type OptionalKeys<K extends Keys> = {
  [P in keyof K]: K[P] extends Optional<unknown> ? P : never;
}[keyof K];
/** The object of these keys; what is optional may be absent. */
export type ObjectOf<K extends Keys> = {
  readonly [P in Exclude<keyof K, OptionalKeys<K>>]: Of<K[P]>;
} & { readonly [P in OptionalKeys<K>]?: Of<K[P]> };

/** Entries of any list: more is no document of ours. */
const LIST_MAX = 100_000;

/** Any text, "" too. */
export const text: Form<string> = {
  schema: { type: "string" },
  read: (field) => field.anyText(),
};
export const flag: Form<boolean> = {
  schema: { type: "boolean" },
  read: (field) => field.flag(),
};
/** Any finite number. */
export const number: Form<number> = {
  schema: { type: "number" },
  read: (field) => field.number(),
};
/** An integer of at least 0. */
export const count: Form<number> = {
  schema: { type: "integer", minimum: 0 },
  read: (field) => field.integer(),
};

export function oneOf<const T extends string>(choices: readonly T[]): Form<T> {
  return { schema: { enum: choices }, read: (field) => field.oneOf(choices) };
}

export function list<T>(entry: Form<T>): Form<readonly T[]> {
  return {
    schema: { type: "array", items: entry.schema },
    read: (field) => field.list(0, LIST_MAX).map((one) => entry.read(one)),
  };
}

/** The same form with a sentence that says what it means. */
export function saying<T>(description: string, form: Form<T>): Form<T> {
  return { schema: { ...form.schema, description }, read: (field) => form.read(field) };
}

export function optional<T>(form: Form<T>): Optional<T> {
  return {
    schema: form.schema,
    optional: true,
    read: (field) => field.optional((one) => form.read(one)),
  };
}

export function object<const K extends Keys>(keys: K): Form<ObjectOf<K>> {
  const names = Object.keys(keys);
  const isOptional = (name: string): boolean => "optional" in (keys[name] ?? {});
  const required = names.filter((name) => !isOptional(name));
  const schemas = Object.entries(keys).map(([name, form]) => [name, form.schema] as const);
  return {
    schema: { type: "object", required, properties: Object.fromEntries(schemas) },
    read(field) {
      const fields = field.record(required, names.filter(isOptional));
      const entries = Object.entries(keys).flatMap(([name, form]) => {
        const value = fields[name] === undefined ? undefined : form.read(fields[name]);
        return value === undefined ? [] : [[name, value] as const];
      });
      // Each entry was made by the form of its key.
      return Object.fromEntries(entries) as ObjectOf<K>;
    },
  };
}
