/**
 * Configuration of the `guest` process: one JSON object, checked key by key. Unknown keys are errors,
 * because a misspelt option that is ignored makes a drill prove something else than was meant.
 */

import { AntipodeError } from "../base/errors.ts";
import { BLOCK_BYTES } from "./block.ts";
import { GENERATOR_SLOTS_MAX, WRITE_BLOCKS_MAX } from "./generator.ts";
import { type NbdTarget, parseNbdUri } from "./nbdUri.ts";
import type { WriterConfig } from "./writer.ts";

/** Vdisks of one group; etcd and the owners carry far more, one writer need not. */
const VDISKS_MAX = 256;
const QUEUE_DEPTH_MAX = 1024;
const RUN_ID_END = 2 ** 48;

export interface GuestConfig extends WriterConfig {
  /** Absolute folder of the journal. */
  readonly historyFolder: string;
}

/**
 * Reads a configuration such as
 * `{"vdisks":[{"name":"d1","uris":["nbd://127.1.0.1:10809/d1"],"spanBytes":67108864}],"seed":1,
 *   "queueDepth":16,"ratePerSecond":2000,"durationMs":10000,"history":"/tmp/run/history.svwj"}`.
 * @param freshRunId used when it names no `runId`
 * @throws AntipodeError `INVALID_ARGUMENT` that names the key
 */
export function loadGuestConfig(value: unknown, freshRunId: number): GuestConfig {
  const top = new Reader(value, "");
  const history = top.text("history");
  const slash = history.lastIndexOf("/");
  if (!history.startsWith("/") || slash === history.length - 1)
    throw invalid("history", "is the absolute path of a file");
  const vdisks = top.list("vdisks", VDISKS_MAX).map((item, i) => readVdisk(item, `vdisks[${i}]`));
  const mix = top.optional("mix", (value) => readMix(value));
  const config: GuestConfig = {
    vdisks,
    runId: top.optionalNumber("runId", { min: 1, max: RUN_ID_END - 1 }) ?? freshRunId,
    seed: top.optionalNumber("seed", { min: 0, max: 2 ** 32 - 1 }) ?? freshRunId % 2 ** 32,
    queueDepth: top.optionalNumber("queueDepth", { min: 1, max: QUEUE_DEPTH_MAX }) ?? 16,
    cgId: top.optionalNumber("cgId", { min: 0, max: 2 ** 32 - 1 }) ?? 0,
    writerId: top.optionalNumber("writerId", { min: 0, max: 2 ** 32 - 1 }) ?? 0,
    historyFolder: slash === 0 ? "/" : history.slice(0, slash),
    historyPath: history.slice(slash + 1),
    ...defined("ratePerSecond", top.optionalNumber("ratePerSecond", { min: 0.001, max: 1e6 })),
    ...defined("durationMs", top.optionalNumber("durationMs", { min: 1, max: 2 ** 31 - 1 })),
    ...defined("mix", mix),
    ...defined(
      "client",
      top.optional("ioTimeoutMs", (value) => ({
        ioTimeoutMs: checkNumber(value, "ioTimeoutMs", { min: 1, max: 3_600_000 }),
      })),
    ),
  };
  top.finish();
  return Object.freeze(config);
}

function readVdisk(value: unknown, path: string): GuestConfig["vdisks"][number] {
  const item = new Reader(value, path);
  const targets: readonly NbdTarget[] = item.list("uris", 64).map((uri) => {
    if (typeof uri !== "string") throw invalid(`${path}.uris`, "is a list of NBD URIs");
    return parseNbdUri(uri);
  });
  const spanBytes = item.optionalNumber("spanBytes", {
    min: BLOCK_BYTES,
    max: GENERATOR_SLOTS_MAX * BLOCK_BYTES,
  });
  const vdisk = { name: item.text("name"), targets, ...defined("spanBytes", spanBytes) };
  item.finish();
  return vdisk;
}

function readMix(value: unknown): NonNullable<WriterConfig["mix"]> {
  const mix = new Reader(value, "mix");
  const share = { min: 0, max: 1 };
  const sizes = mix.optional("sizesBlocks", (list) => {
    if (!Array.isArray(list) || list.length === 0) throw invalid("mix.sizesBlocks", "is a list");
    return list.map((n) => checkNumber(n, "mix.sizesBlocks", { min: 1, max: WRITE_BLOCKS_MAX }));
  });
  const result = {
    ...defined("hotSlotsShare", mix.optionalNumber("hotSlotsShare", share)),
    ...defined("hotWritesShare", mix.optionalNumber("hotWritesShare", share)),
    ...defined("pairShare", mix.optionalNumber("pairShare", share)),
    ...defined("repeatShare", mix.optionalNumber("repeatShare", share)),
    ...defined("sizesBlocks", sizes),
  };
  mix.finish();
  return result;
}

/** Takes keys out of an object and complains about those that are left. */
class Reader {
  readonly #values: Map<string, unknown>;
  readonly #path: string;

  constructor(value: unknown, path: string) {
    if (typeof value !== "object" || value === null || Array.isArray(value))
      throw invalid(path === "" ? "the configuration" : path, "is an object");
    this.#values = new Map(Object.entries(value));
    this.#path = path === "" ? "" : `${path}.`;
  }

  text(key: string): string {
    const value = this.#take(key);
    if (typeof value !== "string" || value === "") throw invalid(this.#path + key, "is a text");
    return value;
  }

  list(key: string, countMax: number): readonly unknown[] {
    const value = this.#take(key);
    if (!Array.isArray(value) || value.length === 0 || value.length > countMax)
      throw invalid(this.#path + key, `is a list of 1 to ${countMax}`);
    return value;
  }

  optional<T>(key: string, read: (value: unknown) => T): T | undefined {
    const value = this.#take(key);
    return value === undefined ? undefined : read(value);
  }

  optionalNumber(key: string, range: Range): number | undefined {
    return this.optional(key, (value) => checkNumber(value, this.#path + key, range));
  }

  finish(): void {
    const [left] = this.#values.keys();
    if (left !== undefined) throw invalid(this.#path + left, "is not an option of the guest");
  }

  #take(key: string): unknown {
    const value = this.#values.get(key);
    this.#values.delete(key);
    return value;
  }
}

interface Range {
  readonly min: number;
  readonly max: number;
}

function checkNumber(value: unknown, path: string, { min, max }: Range): number {
  if (typeof value !== "number" || !(value >= min && value <= max))
    throw invalid(path, `is a number from ${min} to ${max}`);
  return value;
}

/** An optional property is absent, not `undefined`. */
function defined<K extends string, V>(key: K, value: V | undefined): { readonly [P in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { readonly [P in K]: V });
}

function invalid(key: string, demand: string): AntipodeError {
  return new AntipodeError("INVALID_ARGUMENT", `${key}: ${demand} is what is expected`, { key });
}
