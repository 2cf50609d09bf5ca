/**
 * The form of a scenario file as JSON Schema: published as deploy/chaos/scenario.schema.json for
 * editors, and the only place where the keys of a scenario are listed. The reader (scenario.ts) takes
 * its keys from here, so the two cannot part.
 */

import type { JsonField } from "../base/checkedJson.ts";
import { diskFaultKinds } from "../platform/diskFaults.ts";
import { TARGET_FORMS } from "./targets.ts";

type Json = string | number | boolean | readonly Json[] | { readonly [key: string]: Json };

/** An object with these keys and no others. */
export interface ObjectForm<K extends string = string> {
  readonly type: "object";
  readonly additionalProperties: false;
  readonly required: readonly string[];
  readonly properties: Readonly<Record<K, Json>>;
}

const form = <K extends string>(
  required: readonly NoInfer<K>[],
  properties: Readonly<Record<K, Json>>,
): ObjectForm<K> => ({ type: "object", additionalProperties: false, required, properties });

/** The fields of an object of this form. @throws AntipodeError that names the path of a wrong key */
export function fieldsOf<K extends string>(
  field: JsonField,
  of: ObjectForm<K>,
): Readonly<Record<K, JsonField>> {
  const all = Object.keys(of.properties) as K[];
  const isRequired = (key: K): boolean => of.required.includes(key);
  return field.object(
    all.filter(isRequired),
    all.filter((key) => !isRequired(key)),
  );
}

/** Promises that a run can be held to. */
export const invariantNames = ["P1", "P2", "P3", "P4", "P5", "P7", "P8", "P9"] as const;

/**
 * What a step can wait for: a phase of a replication, an activation under way, or that every fault
 * before it in the time line has struck.
 */
export const whenNames = ["planning", "replicating", "recording", "activating", "struck"] as const;

/** Files of a Stargate that can rot: chunks at rest, and the log of writes not drained yet. */
export const rotFiles = ["egroup", "oplog"] as const;

const text = { type: "string", minLength: 1 } as const;
const DURATION = "(0|\\d+(\\.\\d+)?(us|ms|s|m|min|h))";
const duration = { type: "string", pattern: `^${DURATION}$` } as const;
const lasting = {
  type: "string",
  pattern: `^${DURATION}(\\.\\.${DURATION})?$`,
  description: "e.g. 2s; 200ms..9s is drawn by the seed",
} as const;
const size = { type: "string", description: "e.g. 64MiB" } as const;
const rate = { type: "string", description: "e.g. 100mbit, unlimited" } as const;
const count = { type: "integer", minimum: 1 } as const;
const target = { type: "string", description: TARGET_FORMS } as const;
const ends = { from: text, to: text } as const;
const kindOf = <T extends string>(kind: T): { readonly const: T } => ({ const: kind });
const list = (items: Json): Json => ({ type: "array", items });
const anyOf = (forms: Readonly<Record<string, ObjectForm>>): Json => ({
  oneOf: Object.values(forms) as unknown as readonly Json[],
});

/** What can be broken, by its kind. */
export const faultForms = {
  /** With `for` it is left dead so long; without, genesis starts it again. */
  kill: form(["kind", "target"], { kind: kindOf("kill"), target, for: lasting }),
  stop: form(["kind", "target"], { kind: kindOf("stop"), target, for: lasting }),
  /** Ends a `stop` before its time. */
  continue: form(["kind", "target"], { kind: kindOf("continue"), target }),
  restart: form(["kind", "target"], { kind: kindOf("restart"), target }),
  disk: form(["kind", "target", "does"], {
    kind: kindOf("disk"),
    target,
    does: { enum: diskFaultKinds },
    by: { ...duration, description: "how late every sync is, with slowSync" },
    for: lasting,
  }),
  /** Bits flip in files of a Stargate. Not undone: what is found is repaired from other copies. */
  rot: form(["kind", "target", "file"], {
    kind: kindOf("rot"),
    target,
    file: { enum: rotFiles },
    count: { ...count, description: "places, at most 1000; 1 when left out" },
    lastCopy: {
      type: "boolean",
      description: "also where there is no other good copy: loses data",
    },
  }),
  cut: form(["kind", "from", "to"], {
    kind: kindOf("cut"),
    ...ends,
    oneWay: { type: "boolean" },
    for: lasting,
  }),
  link: form(["kind", "from", "to"], {
    kind: kindOf("link"),
    ...ends,
    oneWay: { type: "boolean" },
    latency: duration,
    jitter: duration,
    bandwidth: rate,
    for: lasting,
  }),
  heal: form(["kind"], { kind: kindOf("heal") }),
} as const;

/** What a scenario asks of a site, by its kind. */
export const actionForms = {
  snapshot: form(["kind", "pd"], { kind: kindOf("snapshot"), pd: text }),
  replicate: form(["kind", "pd"], { kind: kindOf("replicate"), pd: text }),
  activate: form(["kind", "pd"], { kind: kindOf("activate"), pd: text }),
} as const;

export const repeatForm = form(["times"], {
  every: { ...duration, description: "one after the other, so far apart" },
  over: { ...duration, description: "at instants that the seed draws, from `at` on for so long" },
  times: count,
});
export const stepForm = form(["at"], {
  at: duration,
  when: { enum: whenNames, description: "waits at its time for this" },
  after: { ...duration, description: "and then this much longer" },
  fault: anyOf(faultForms),
  action: anyOf(actionForms),
  repeat: repeatForm as unknown as Json,
});
export const linkForm = form(["from", "to"], {
  ...ends,
  latency: duration,
  jitter: duration,
  bandwidth: rate,
});
export const labForm = form(["sites"], {
  sites: { type: "object", additionalProperties: count, description: "CVMs of each site" },
  rf: {
    type: "integer",
    minimum: 1,
    maximum: 3,
    description: "copies; 2 when left out, 1 at a site of one CVM",
  },
  links: list(linkForm as unknown as Json),
});
export const protectionForm = form(["pd", "at", "to", "vdisks"], {
  pd: text,
  at: text,
  to: text,
  vdisks: { type: "object", additionalProperties: size, description: "size of each vDisk" },
});
export const workloadForm = form(["pd"], {
  pd: text,
  rate: { type: "number", exclusiveMinimum: 0, description: "writes a second" },
  depth: count,
  span: size,
});
export const steadyForm = form(["pd", "writes", "within"], {
  pd: text,
  writes: { ...count, description: "that its writer must see acknowledged" },
  within: duration,
});
export const scenarioForm = form(["version", "name", "lab", "protection", "run", "assert"], {
  version: { const: 1 },
  name: text,
  description: text,
  seed: { type: "integer", minimum: 0 },
  lab: labForm as unknown as Json,
  protection: list(protectionForm as unknown as Json),
  workloads: list(workloadForm as unknown as Json),
  setup: list(anyOf(actionForms)),
  steadyState: list(steadyForm as unknown as Json),
  run: list(stepForm as unknown as Json),
  converge: duration,
  assert: list({ enum: invariantNames }),
});

/** The whole schema, as it is published. */
export function scenarioSchema(): Readonly<Record<string, unknown>> {
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "antipode chaos scenario",
    ...scenarioForm,
  };
}
