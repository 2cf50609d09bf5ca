/**
 * What genesis supervises, as data: a list of services, each one process. In a local lab one layout
 * holds the services of all sites; in a container it holds those of one CVM. The lab writes it as
 * JSON; `parseLayout` checks it. Unknown keys are errors.
 */

import { checkedJson, type JsonField } from "../base/checkedJson.ts";
import type { Address } from "../platform/net.ts";

/** How genesis finds out that a service answers: by a cheap call of that service, or by connecting. */
export const probeKinds = ["stargate", "cerebro", "etcd", "wan", "tcp"] as const;
export type ProbeKind = (typeof probeKinds)[number];

/** One service: how its one process is started and recognised. */
export interface ServiceSpec {
  /** Unique: `stargate@A/1`, `etcd@A`, `wan`. */
  readonly id: string;
  readonly role: string;
  /** "" for a service of the whole lab. */
  readonly site: string;
  /** 0 for a service of a site or of the lab. */
  readonly cvm: number;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Absolute path. */
  readonly logFile: string;
  readonly probe: ProbeKind;
  /** Where it answers. */
  readonly address: Address;
  /** Services of a lower tier answer before this one is started, and end after it. */
  readonly tier: number;
}

export interface Layout {
  readonly version: 1;
  /** Where genesis itself answers. */
  readonly admin: Address;
  /** Absolute path of the folder for what genesis must remember about processes. */
  readonly stateFolder: string;
  /** Default of `autoRestart` for services that nobody has decided about. */
  readonly autoRestart: boolean;
  /** Before the first restart of a service that died. */
  readonly restartDelayMs: number;
  /** A service that has not ended this long after SIGTERM gets SIGKILL. */
  readonly stopGraceMs: number;
  readonly services: readonly ServiceSpec[];
}

/** More services than this in one layout is a mistake. */
const SERVICES_MAX = 1024;

const FILE_KEYS = [
  "version",
  "admin",
  "stateFolder",
  "autoRestart",
  "restartDelayMs",
  "stopGraceMs",
  "services",
] as const;

const SERVICE_KEYS = [
  "id",
  "role",
  "site",
  "cvm",
  "command",
  "args",
  "env",
  "logFile",
  "probe",
  "address",
  "tier",
] as const;

function parseService(field: JsonField): ServiceSpec {
  const service = field.object(SERVICE_KEYS);
  return {
    id: service.id.text(),
    role: service.role.anyText(),
    site: service.site.anyText(),
    cvm: service.cvm.integer(0, 255),
    command: service.command.text(),
    args: service.args.list().map((arg) => arg.anyText()),
    env: Object.fromEntries(service.env.entries().map(([key, item]) => [key, item.anyText()])),
    logFile: service.logFile.text(),
    probe: service.probe.oneOf(probeKinds),
    address: service.address.address(),
    tier: service.tier.integer(0, 9),
  };
}

/**
 * Checks a parsed JSON value.
 * @throws AntipodeError `INVALID_ARGUMENT` that names the wrong key; `FORMAT_UNSUPPORTED`
 */
export function parseLayout(value: unknown): Layout {
  const fields = checkedJson(value, "the layout").ofVersion(1).object(FILE_KEYS);
  const services = fields.services.list(0, SERVICES_MAX).map(parseService);
  if (new Set(services.map((service) => service.id)).size !== services.length)
    fields.services.fail("has two services of one id");
  return Object.freeze({
    version: 1,
    admin: fields.admin.address(),
    stateFolder: fields.stateFolder.text(),
    autoRestart: fields.autoRestart.flag(),
    restartDelayMs: fields.restartDelayMs.integer(0, 60_000),
    stopGraceMs: fields.stopGraceMs.integer(1, 60_000),
    services,
  });
}
