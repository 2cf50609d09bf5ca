/**
 * Reading JSON that somebody else wrote: configuration files, files of a lab, records in etcd. A value
 * is taken apart field by field, each checked where it is read, and what is wrong is named by its path:
 * `the layout is wrong: services[3].address.port is not an integer from 1 to 65535`.
 *
 * Total: whatever the value, reading it gives what was asked for or an AntipodeError with the document's
 * code, whose `details.key` is the path.
 */

import { fromUtf8 } from "./bytes.ts";
import { AntipodeError, type ErrorCode, messageOf } from "./errors.ts";

/** What is read, as messages name it, and what its being wrong means. */
interface Document {
  /** e.g. `the layout`, `lab.json`. */
  readonly what: string;
  readonly code: ErrorCode;
}

/** Host and port; the same shape as platform/net.ts `Address`. */
export interface HostAndPort {
  readonly host: string;
  readonly port: number;
}

const PORT_MAX = 65_535;

/**
 * Parses JSON text, or its UTF-8 bytes.
 * @param what the document in the message, e.g. `lab.json`
 * @throws AntipodeError with this code when it is not JSON
 */
export function parseJson(
  content: string | Uint8Array,
  what: string,
  code: ErrorCode = "INVALID_ARGUMENT",
): unknown {
  try {
    return JSON.parse(typeof content === "string" ? content : fromUtf8(content));
  } catch (cause) {
    throw new AntipodeError(code, `${what} is not JSON: ${messageOf(cause)}`, {}, cause);
  }
}

/**
 * A parsed JSON value, to be taken apart.
 * @param what the document in messages, e.g. `the layout`
 * @param code what its being wrong means
 */
export function checkedJson(
  value: unknown,
  what: string,
  code: ErrorCode = "INVALID_ARGUMENT",
): JsonField {
  return new JsonField(value, "", { what, code });
}

/** One value of a document and the way to it. Every reader throws with the document's code. */
export class JsonField {
  readonly #value: unknown;
  /** From the document's top, e.g. `members[0].nbd`; "" at the top. */
  readonly #path: string;
  readonly #document: Document;

  constructor(value: unknown, path: string, document: Document) {
    this.#value = value;
    this.#path = path;
    this.#document = document;
  }

  /**
   * Refuses a document of another version before its fields are looked at.
   * @throws AntipodeError `FORMAT_UNSUPPORTED`
   */
  ofVersion(version: number): this {
    const found = isRecord(this.#value) ? this.#value["version"] : undefined;
    if (found === version) return this;
    const message = `${this.#document.what} is not of version ${version}`;
    throw new AntipodeError("FORMAT_UNSUPPORTED", message, { key: "version" });
  }

  /** The fields of an object that has all of `keys`, maybe some of `optional`, and no others. */
  object<K extends string, O extends string = never>(
    keys: readonly K[],
    optional: readonly O[] = [],
  ): Readonly<Record<K | O, JsonField>> {
    const known: readonly string[] = [...keys, ...optional];
    for (const key of Object.keys(this.#record()))
      if (!known.includes(key)) this.fail(`has an unknown key "${key}"`);
    return this.record(keys, optional);
  }

  /** The same of an object that may have others too, for instance those of a newer version. */
  record<K extends string, O extends string = never>(
    keys: readonly K[],
    optional: readonly O[] = [],
  ): Readonly<Record<K | O, JsonField>> {
    const record = this.#record();
    for (const key of keys) if (!Object.hasOwn(record, key)) this.fail(`lacks "${key}"`);
    const all: readonly (K | O)[] = [...keys, ...optional];
    const fields = all.map((key): [K | O, JsonField] => [
      key,
      this.#child(Object.hasOwn(record, key) ? record[key] : undefined, keyed(this.#path, key)),
    ]);
    return Object.fromEntries(fields) as Record<K | O, JsonField>;
  }

  /** Names and values of an object whose keys are data. */
  entries(): readonly (readonly [string, JsonField])[] {
    return Object.entries(this.#record()).map(
      ([key, value]) => [key, this.#child(value, keyed(this.#path, key))] as const,
    );
  }

  /** The entries of a list of `min` to `max` entries. */
  list(min = 0, max = Number.MAX_SAFE_INTEGER): readonly JsonField[] {
    const value = this.#value;
    if (!Array.isArray(value)) return this.fail("is not a list");
    if (value.length < min) this.fail(`is a list of less than ${min} entries`);
    if (value.length > max) this.fail(`is a list of more than ${max} entries`);
    return value.map((entry: unknown, i) => this.#child(entry, `${this.#path}[${i}]`));
  }

  /** What `read` makes of an optional field; `undefined` when it is not there. */
  optional<T>(read: (field: JsonField) => T): T | undefined {
    return this.#value === undefined ? undefined : read(this);
  }

  /** A text that is not empty. */
  text(): string {
    const value = this.anyText();
    return value === "" ? this.fail("is empty") : value;
  }

  anyText(): string {
    const value = this.#value;
    return typeof value === "string" ? value : this.fail("is not a text");
  }

  /** A text of this form. @param form the form in words, e.g. `an absolute path` */
  textLike(pattern: RegExp, form: string): string {
    const value = this.anyText();
    return pattern.test(value) ? value : this.fail(`is not ${form}`);
  }

  /** Absolute path of a file or folder. */
  absolutePath(): string {
    return this.textLike(/^\//, "an absolute path");
  }

  /** One of the texts. */
  oneOf<const T extends string>(choices: readonly T[]): T {
    const value = this.#value;
    return (
      choices.find((choice) => choice === value) ?? this.fail(`is none of ${choices.join(", ")}`)
    );
  }

  flag(): boolean {
    const value = this.#value;
    return typeof value === "boolean" ? value : this.fail("is neither true nor false");
  }

  number(min = -Number.MAX_VALUE, max = Number.MAX_VALUE): number {
    const value = this.#value;
    if (typeof value !== "number") return this.fail("is not a number");
    return value >= min && value <= max
      ? value
      : this.fail(`is not ${inRange("a number", min, max)}`);
  }

  integer(min = 0, max = Number.MAX_SAFE_INTEGER): number {
    const value = this.#value;
    return typeof value === "number" && Number.isSafeInteger(value) && value >= min && value <= max
      ? value
      : this.fail(`is not ${inRange("an integer", min, max)}`);
  }

  /** `{"host":…,"port":…}`. @param portMin 0 where any free port may be asked for */
  address(portMin = 1): HostAndPort {
    const { host, port } = this.object(["host", "port"]);
    return { host: host.text(), port: port.integer(portMin, PORT_MAX) };
  }

  /** Refuses the value. @param problem follows its path, e.g. `is not a port` */
  fail(problem: string): never {
    const { what, code } = this.#document;
    const subject = this.#path === "" ? "it" : this.#path;
    throw new AntipodeError(code, `${what} is wrong: ${subject} ${problem}`, { key: this.#path });
  }

  #record(): Readonly<Record<string, unknown>> {
    const value = this.#value;
    return isRecord(value) ? value : this.fail("is not an object");
  }

  #child(value: unknown, path: string): JsonField {
    return new JsonField(value, path, this.#document);
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function keyed(path: string, key: string): string {
  return path === "" ? key : `${path}.${key}`;
}

function inRange(kind: string, min: number, max: number): string {
  if (min === -Number.MAX_VALUE) return `${kind} that is finite`;
  if (max >= Number.MAX_SAFE_INTEGER) return `${kind} of at least ${min}`;
  return `${kind} from ${min} to ${max}`;
}
