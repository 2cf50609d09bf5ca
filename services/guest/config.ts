/**
 * Configuration of the `guest` process: one JSON object, checked key by key. Unknown keys are errors,
 * because a misspelt option that is ignored makes a drill prove something else than was meant.
 */

import { checkedJson, type JsonField } from "../base/checkedJson.ts";
import { BLOCK_BYTES } from "./block.ts";
import { GENERATOR_SLOTS_MAX, WRITE_BLOCKS_MAX } from "./generator.ts";
import { type NbdTarget, parseNbdUri } from "./nbdUri.ts";
import type { WriterConfig } from "./writer.ts";

/** Vdisks of one group; etcd and the owners carry far more, one writer need not. */
const VDISKS_MAX = 256;
const QUEUE_DEPTH_MAX = 1024;
const RUN_ID_END = 2 ** 48;
/** Ways to one vDisk: more CVMs than a site has. */
const URIS_MAX = 64;
const KEYS = ["vdisks", "history"] as const;
const OPTIONAL_KEYS = [
  "runId",
  "seed",
  "queueDepth",
  "cgId",
  "writerId",
  "ratePerSecond",
  "durationMs",
  "mix",
  "ioTimeoutMs",
] as const;
const SHARES = ["hotSlotsShare", "hotWritesShare", "pairShare", "repeatShare"] as const;

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
  const top = checkedJson(value, "the guest's configuration").object(KEYS, OPTIONAL_KEYS);
  const history = top.history.textLike(/^\/.*[^/]$/, "the absolute path of a file");
  const slash = history.lastIndexOf("/");
  const optionalNumber = (key: (typeof OPTIONAL_KEYS)[number], min: number, max: number) =>
    top[key].optional((field) => field.number(min, max));
  const ioTimeoutMs = optionalNumber("ioTimeoutMs", 1, 3_600_000);
  return Object.freeze({
    vdisks: top.vdisks.list(1, VDISKS_MAX).map(readVdisk),
    runId: optionalNumber("runId", 1, RUN_ID_END - 1) ?? freshRunId,
    seed: optionalNumber("seed", 0, 2 ** 32 - 1) ?? freshRunId % 2 ** 32,
    queueDepth: optionalNumber("queueDepth", 1, QUEUE_DEPTH_MAX) ?? 16,
    cgId: optionalNumber("cgId", 0, 2 ** 32 - 1) ?? 0,
    writerId: optionalNumber("writerId", 0, 2 ** 32 - 1) ?? 0,
    historyFolder: slash === 0 ? "/" : history.slice(0, slash),
    historyPath: history.slice(slash + 1),
    ...defined("ratePerSecond", optionalNumber("ratePerSecond", 0.001, 1e6)),
    ...defined("durationMs", optionalNumber("durationMs", 1, 2 ** 31 - 1)),
    ...defined("mix", top.mix.optional(readMix)),
    ...defined("client", ioTimeoutMs === undefined ? undefined : { ioTimeoutMs }),
  });
}

function readVdisk(field: JsonField): GuestConfig["vdisks"][number] {
  const { name, uris, spanBytes } = field.object(["name", "uris"], ["spanBytes"]);
  const spanBytesMax = GENERATOR_SLOTS_MAX * BLOCK_BYTES;
  return {
    name: name.text(),
    targets: uris.list(1, URIS_MAX).map((uri): NbdTarget => parseNbdUri(uri.text())),
    ...defined(
      "spanBytes",
      spanBytes.optional((size) => size.number(BLOCK_BYTES, spanBytesMax)),
    ),
  };
}

function readMix(field: JsonField): NonNullable<WriterConfig["mix"]> {
  const mix = field.object([], [...SHARES, "sizesBlocks"]);
  const share = (key: (typeof SHARES)[number]) => mix[key].optional((one) => one.number(0, 1));
  const sizes = mix.sizesBlocks.optional((list) =>
    list.list(1).map((count) => count.number(1, WRITE_BLOCKS_MAX)),
  );
  return {
    ...defined("hotSlotsShare", share("hotSlotsShare")),
    ...defined("hotWritesShare", share("hotWritesShare")),
    ...defined("pairShare", share("pairShare")),
    ...defined("repeatShare", share("repeatShare")),
    ...defined("sizesBlocks", sizes),
  };
}

/** An optional property is absent, not `undefined`. */
function defined<K extends string, V>(key: K, value: V | undefined): { readonly [P in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { readonly [P in K]: V });
}
