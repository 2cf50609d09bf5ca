/**
 * From a lab and its addresses to the configuration of every process. Pure. Everything here is
 * written anew at each `lab up`: the files are for the processes, `lab.json` is the truth.
 */

import type { CvmConfig } from "../base/siteConfig.ts";
import { diskOrderFile, type Layout, type ServiceSpec } from "../genesis/index.ts";
import { DISK_FAULTS_VARIABLE } from "../platform/diskFaults.ts";
import type { LinkConfig, WanConfig } from "../wan/index.ts";
import type { LabPlan, SitePlan } from "./addresses.ts";
import type { LabFile, LabSite } from "./labFile.ts";

/** How processes are started on this machine. */
export interface Launch {
  /** Absolute path of node. */
  readonly node: string;
  /** Absolute path of a service's entry point. */
  readonly entryOf: (service: "etcd" | "wan" | "stargate" | "cerebro" | "genesis") => string;
}

export interface ConfigFile {
  /** Relative to the lab's directory. */
  readonly path: string;
  readonly content: unknown;
}

export interface LabConfigs {
  readonly files: readonly ConfigFile[];
  readonly layout: Layout;
}

/** Leases of the embedded etcd and of a real one with fast ticks (FAULT_MODEL.md). */
const LEASE_TTL_MS = 2000;
const RESTART_DELAY_MS = 1000;
const STOP_GRACE_MS = 5000;

/**
 * V8's limits by role. The young generation's default of 16 MiB a half costs up to 48 MiB a process
 * that is idle most of the time; stargate and wan move bulk in buffers outside the heap. Those count
 * for V8 as pressure: from its small initial limit it marked the whole heap five times a second, a
 * quarter of a stargate's CPU time while it replicates. Beginning at 96 MiB ends that.
 *
 * Only flags that every supported Node knows: one that does not would not start.
 */
const NODE_FLAGS: Readonly<Record<string, readonly string[]>> = {
  genesis: ["--max-old-space-size=96", "--max-semi-space-size=1"],
  etcd: ["--max-old-space-size=192", "--max-semi-space-size=2"],
  wan: ["--max-old-space-size=256", "--max-semi-space-size=4"],
  stargate: ["--initial-old-space-size=96", "--max-old-space-size=640", "--max-semi-space-size=8"],
  cerebro: ["--max-old-space-size=192", "--max-semi-space-size=2"],
};
/** Few arenas: glibc keeps one a thread otherwise, and none gives memory back. Threads: syncs of journal, egroups and index must not queue behind each other. */
const ENVIRONMENT = { MALLOC_ARENA_MAX: "2", UV_THREADPOOL_SIZE: "8" } as const;

/** Node's flags for a role. */
export function nodeFlags(role: string): readonly string[] {
  return NODE_FLAGS[role] ?? [];
}

/**
 * Configurations of all processes.
 * @param directory absolute path of the lab's directory
 */
export function planConfigs(
  lab: LabFile,
  plan: LabPlan,
  directory: string,
  launch: Launch,
): LabConfigs {
  const planned: Planned = { lab, directory, launch, files: [], services: [] };
  for (const [index, site] of plan.sites.entries()) {
    const known = lab.sites[index];
    if (known !== undefined) addSite(planned, known, site);
  }
  const { files, services } = planned;
  if (plan.sites.length > 1) {
    files.push({ path: "config/wan.json", content: wanConfig(lab, plan, directory) });
    add(planned, "wan", "config/wan.json", {
      ...common(planned, "wan"),
      site: "",
      cvm: 0,
      probe: "wan",
      address: plan.wan,
      tier: 0,
    });
  }
  const layout: Layout = {
    version: 1,
    admin: plan.genesis,
    stateFolder: stateFolderOf(planned),
    autoRestart: lab.autoRestart,
    restartDelayMs: RESTART_DELAY_MS,
    stopGraceMs: STOP_GRACE_MS,
    services,
  };
  files.push({ path: GENESIS_CONFIG, content: layout });
  return { files, layout };
}

/** Configurations that are being collected. */
interface Planned {
  readonly lab: LabFile;
  readonly directory: string;
  readonly launch: Launch;
  readonly files: ConfigFile[];
  readonly services: ServiceSpec[];
}

type Common = Pick<ServiceSpec, "id" | "env" | "logFile">;

const stateFolderOf = ({ directory }: Planned): string => `${directory}/state/genesis`;

function common({ directory }: Planned, id: string): Common {
  const logFile = `${directory}/logs/${id.replaceAll("/", "-")}.log`;
  return { id, env: ENVIRONMENT, logFile };
}

/** Chaos runs may make its disk fail. */
function withDisk(planned: Planned, id: string): Common {
  const order = `${stateFolderOf(planned)}/${diskOrderFile(id)}`;
  return { ...common(planned, id), env: { ...ENVIRONMENT, [DISK_FAULTS_VARIABLE]: order } };
}

function add(
  { launch, directory, services }: Planned,
  role: "etcd" | "wan" | "stargate" | "cerebro",
  configPath: string,
  rest: Omit<ServiceSpec, "role" | "command" | "args">,
): void {
  const args = [...nodeFlags(role), launch.entryOf(role), `${directory}/${configPath}`];
  services.push({ role, command: launch.node, args, ...rest });
}

function addSite(planned: Planned, known: LabSite, site: SitePlan): void {
  const { lab, directory, files, services } = planned;
  if (lab.etcd === "real")
    services.push(realEtcd(lab, site, directory, common(planned, `etcd@${site.name}`)));
  else {
    const path = `config/${site.name}/etcd.json`;
    const dataFolder = `${directory}/sites/${site.name}/etcd`;
    files.push({ path, content: { listen: site.etcd, dataFolder, logLevel: lab.logLevel } });
    add(planned, "etcd", path, {
      ...withDisk(planned, `etcd@${site.name}`),
      site: site.name,
      cvm: 0,
      probe: "etcd",
      address: site.etcd,
      tier: 0,
    });
  }
  for (const cvm of site.cvms) {
    const path = `config/${site.name}/cvm-${cvm.cvm}.json`;
    files.push({ path, content: cvmConfig(lab, known, site, cvm.cvm, directory) });
    for (const role of ["stargate", "cerebro"] as const)
      add(planned, role, path, {
        ...(role === "stargate" ? withDisk : common)(planned, `${role}@${site.name}/${cvm.cvm}`),
        site: site.name,
        cvm: cvm.cvm,
        probe: role,
        address: cvm[role],
        tier: 1,
      });
  }
}

/** Relative path of the layout. */
export const GENESIS_CONFIG = "config/genesis.json";

function cvmConfig(
  lab: LabFile,
  known: LabSite,
  site: SitePlan,
  cvm: number,
  directory: string,
): CvmConfig {
  return {
    site: site.name,
    siteIncarnation: known.incarnation,
    cvm,
    dataFolder: `${directory}/sites/${site.name}/cvm-${cvm}`,
    coordinator: [site.etcd],
    leaseTtlMs: LEASE_TTL_MS,
    members: site.cvms.map(({ cvm: number, stargate, nbd, cerebro }) => ({
      cvm: number,
      stargate,
      nbd,
      cerebro,
    })),
    logLevel: lab.logLevel,
  };
}

function wanConfig(lab: LabFile, plan: LabPlan, directory: string): WanConfig {
  const links = plan.sites.flatMap((from) =>
    from.remotes.map((remote): LinkConfig => {
      const to = plan.sites.find((site) => site.name === remote.site);
      return {
        from: from.name,
        to: remote.site,
        latencyMs: lab.latencyMs,
        jitterMs: lab.jitterMs,
        bitsPerSecond: lab.bitsPerSecond,
        passages: remote.cvms.flatMap((seen) => {
          const real = to?.cvms.find((cvm) => cvm.cvm === seen.cvm);
          if (real === undefined) return [];
          return [
            { listen: seen.stargate, target: real.stargate },
            { listen: seen.cerebro, target: real.cerebro },
          ];
        }),
      };
    }),
  );
  return {
    version: 1,
    admin: plan.wan,
    stateFolder: `${directory}/state/wan`,
    links,
    logLevel: lab.logLevel,
  };
}

/** Fast ticks: with the default ones a lease of 2 s would be granted as more (FAULT_MODEL.md). */
function realEtcd(lab: LabFile, site: SitePlan, directory: string, common: Common): ServiceSpec {
  const client = `http://${site.etcd.host}:${site.etcd.port}`;
  const peer = `http://${site.etcdPeer.host}:${site.etcdPeer.port}`;
  return {
    ...common,
    role: "etcd",
    site: site.name,
    cvm: 0,
    command: lab.etcdCommand,
    args: [
      `--name=${site.name}`,
      `--listen-client-urls=${client}`,
      `--advertise-client-urls=${client}`,
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peer}`,
      `--initial-cluster=${site.name}=${peer}`,
      "--heartbeat-interval=50",
      "--election-timeout=500",
      "--auto-compaction-mode=periodic",
      "--auto-compaction-retention=5m",
      `--data-dir=${directory}/sites/${site.name}/etcd-real`,
    ],
    probe: "etcd",
    address: site.etcd,
    tier: 0,
  };
}
