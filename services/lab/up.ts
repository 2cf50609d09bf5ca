/**
 * Starts a lab: a new one in an empty directory, or one that is there and goes on with its data. One
 * `lab up` at a time in a directory; a failure before processes are started leaves nothing behind.
 */

import { toHex, utf8 } from "../base/bytes.ts";
import { AntipodeError, codeOf } from "../base/errors.ts";
import { type Disk, replaceWhole } from "../platform/disk.ts";
import type { ProcessHandle } from "../platform/processes.ts";
import { type Place, planAddresses } from "./addresses.ts";
import { planConfigs } from "./configs.ts";
import { endProcesses } from "./down.ts";
import { awaitGenesis, listProcesses, type ProcessList, spawnGenesis } from "./genesisClient.ts";
import { introduceSites } from "./introduce.ts";
import { LAB_FILE, type LabFile, readLabFile, writeLabFile } from "./labFile.ts";
import { LAB_LOCK, takeLabLock } from "./labLock.ts";
import { type OpenLab, runStateOf } from "./open.ts";
import { choosePlace } from "./placing.ts";
import { knownLabs, remember, withRegistry } from "./registry.ts";
import { writeRunFile } from "./runFile.ts";
import { type LabShape, replicationFactorOf } from "./shape.ts";
import { failureOf } from "./startFailure.ts";
import type { LabWorld } from "./world.ts";

export interface UpOptions {
  /** Absolute path. */
  readonly directory: string;
  /** Shape of a new lab. */
  readonly shape: LabShape;
  /** What was given on purpose: a lab that exists must agree with it. */
  readonly given: Partial<LabShape>;
  readonly autoRestart: boolean;
  readonly logLevel: LabFile["logLevel"];
  readonly signal?: AbortSignal;
  /** Told now and then how many services answer. */
  readonly onProgress: (running: number, total: number) => void;
}

export interface UpReport {
  readonly open: OpenLab;
  readonly created: boolean;
  readonly upMs: number;
  readonly processes: ProcessList;
}

/** Less free space than this is a full disk before anything was written. */
const FREE_BYTES_MIN = 64 * 1024 * 1024;
/** Several times what a slow machine needs for all processes. */
const READY_TIMEOUT_MS = 60_000;
const POLL_INTERVAL_MS = 50;
/** What a lab's directory holds beside the lock. */
const OWN_NAMES = [LAB_FILE, `${LAB_FILE}.new`, "run.json", "config", "state", "sites", "logs"];

/**
 * Starts the lab and waits until every service answers and the sites know each other.
 * @throws AntipodeError `LAB_RUNNING`, `PORT_IN_USE`, `LAB_START_FAILED`, `DISK_FULL`, `DISK_FAILED`,
 *   `INVALID_ARGUMENT`, `FORMAT_UNSUPPORTED`, `CANCELLED`
 */
export async function upLab(world: LabWorld, options: UpOptions): Promise<UpReport> {
  const startedMs = world.clock.now();
  const { directory } = options;
  const disk = world.diskAt(directory);
  const madeFolder = !(await disk.exists(""));
  await disk.makeFolder("");
  const lock = await takeLabLock(world, { directory, disk });
  let undo: readonly string[] = madeFolder ? [directory] : [];
  try {
    const before = await inspect(world, disk, options);
    // From here on everything in the directory is ours.
    if (before === undefined && !madeFolder) undo = OWN_NAMES.map((name) => `${directory}/${name}`);
    const open = await lay(world, disk, options, before);
    const processes = await start(world, open, options);
    undo = [];
    const upMs = world.clock.now() - startedMs;
    return { open, created: before === undefined, upMs, processes };
  } catch (error) {
    // The logs of a lab that did not start are what the error tells people to read.
    if (codeOf(error) === "LAB_START_FAILED") undo = [];
    throw error;
  } finally {
    await lock.release();
    for (const path of undo) await world.removeTree(path);
  }
}

/**
 * What is in the directory: a lab that is down, or nothing.
 * @throws AntipodeError when it is anything else
 */
async function inspect(
  world: LabWorld,
  disk: Disk,
  options: UpOptions,
): Promise<LabFile | undefined> {
  const { directory } = options;
  const before = await readLabFile(disk);
  if (before === undefined) {
    await requireEmpty(disk, directory);
    return undefined;
  }
  requireSameShape(before, options.given);
  const open = { directory, disk, lab: before, plan: planAddresses(before, before.place) };
  const state = await runStateOf(world, open);
  if (state.kind !== "down")
    throw new AntipodeError("LAB_RUNNING", `the lab in ${directory} is up already`, {
      directory,
      genesisPid: state.run.genesis.pid,
    });
  // Remains of a lab whose genesis was killed before it could record them.
  await endProcesses(world, open);
  return before;
}

/** The lab's file, folders and configurations on disk, its addresses chosen. */
async function lay(
  world: LabWorld,
  disk: Disk,
  options: UpOptions,
  before: LabFile | undefined,
): Promise<OpenLab> {
  const { directory } = options;
  const { freeBytes } = await disk.space();
  if (freeBytes < FREE_BYTES_MIN)
    throw new AntipodeError("DISK_FULL", `only ${freeBytes} bytes are free for ${directory}`, {
      freeBytes,
    });
  const etcdCommand = await findEtcd(world, before ?? options.shape);
  const lab = await withRegistry(world, async () => {
    const others = (await knownLabs(world)).filter((known) => known.directory !== directory);
    const place = await choosePlace(world, before ?? options.shape, others, before?.place);
    const placed = labOf(world, options, before, place, etcdCommand);
    await writeLabFile(disk, placed);
    await remember(world, { directory, id: placed.id });
    return placed;
  });
  const plan = planAddresses(lab, lab.place);
  const { files } = planConfigs(lab, plan, directory, world.launch);
  for (const folder of folders(lab)) await disk.makeFolder(folder);
  for (const { path, content } of files)
    await replaceWhole(disk, path, utf8(`${JSON.stringify(content, undefined, 2)}\n`));
  return { directory, disk, lab, plan };
}

function labOf(
  world: LabWorld,
  options: UpOptions,
  before: LabFile | undefined,
  place: Place,
  etcdCommand: string,
): LabFile {
  const { autoRestart, logLevel } = options;
  if (before !== undefined) return { ...before, place, etcdCommand, autoRestart, logLevel };
  const identity = (): string => toHex(world.random.bytes(16));
  return {
    ...options.shape,
    version: 1,
    id: identity(),
    createdAtMs: world.clock.wall(),
    sites: options.shape.sites.map((site) => ({ ...site, incarnation: identity() })),
    place,
    etcdCommand,
    autoRestart,
    logLevel,
  };
}

async function start(world: LabWorld, open: OpenLab, options: UpOptions): Promise<ProcessList> {
  try {
    // What an earlier run remembers of its processes means nothing to this one.
    const state = world.diskAt(`${open.directory}/state/genesis`);
    for (const name of await state.list("")) await state.remove(name);
    const genesis = await spawnGenesis(world, open.directory);
    await writeRunFile(open.disk, { version: 1, genesis, upAtMs: world.clock.wall() });
    await awaitGenesis(world, open.plan, open.directory, genesis, options.signal);
    await awaitServices(world, open, genesis, options);
    await introduceSites(world, open.plan, open.lab, options.signal);
    return await listProcesses(world, open.plan);
  } catch (error) {
    await endProcesses(world, open);
    throw error;
  }
}

async function awaitServices(
  world: LabWorld,
  open: OpenLab,
  genesis: ProcessHandle,
  options: UpOptions,
): Promise<void> {
  const startedMs = world.clock.now();
  for (;;) {
    const { services } = await listProcesses(world, open.plan);
    const running = services.filter((service) => service.state === "running");
    options.onProgress(running.length, services.length);
    if (running.length === services.length) return;
    const dying = services.find((service) => service.crashLoop || service.state === "dead");
    if (dying !== undefined) throw await failureOf(world, dying, "ends again and again");
    const late = services.find((service) => service.state !== "running");
    if (world.clock.now() - startedMs > READY_TIMEOUT_MS && late !== undefined)
      throw await failureOf(world, late, "does not answer");
    if (!(await world.processes.isAlive(genesis)))
      throw new AntipodeError("LAB_START_FAILED", "genesis ended while the lab started", {
        logFile: `${open.directory}/logs/genesis.log`,
      });
    await world.clock.sleep(POLL_INTERVAL_MS, options.signal);
  }
}

async function requireEmpty(disk: Disk, directory: string): Promise<void> {
  const names = (await disk.list("")).filter((name) => name !== LAB_LOCK);
  if (names.length > 0)
    throw new AntipodeError(
      "INVALID_ARGUMENT",
      `${directory} holds other things and no lab: choose an empty or a new directory`,
      { directory, found: names.slice(0, 5).join(", ") },
    );
}

/** A lab keeps the shape it was made with; asking for another one is a mistake to be told. */
function requireSameShape(lab: LabFile, given: Partial<LabShape>): void {
  const shapeText = (shape: Partial<LabShape>): string =>
    (shape.sites ?? []).map((site) => `${site.name} with ${site.cvms} CVMs`).join(", ");
  if (given.sites !== undefined && shapeText(given) !== shapeText(lab))
    throw new AntipodeError(
      "INVALID_ARGUMENT",
      `this lab has ${shapeText(lab)}, and keeps them: give another --dir for another lab`,
    );
  if (given.etcd !== undefined && given.etcd !== lab.etcd)
    throw new AntipodeError("INVALID_ARGUMENT", `this lab keeps its records in ${lab.etcd} etcd`);
  const copies = given.replicationFactor;
  if (copies !== undefined && lab.sites.some((site) => replicationFactorOf(lab, site) !== copies))
    throw new AntipodeError(
      "INVALID_ARGUMENT",
      "--rf is for a new lab: give another --dir, or make a container with `antipode container create`",
    );
  for (const [option, name] of [
    ["latencyMs", "--latency"],
    ["jitterMs", "--jitter"],
    ["bitsPerSecond", "--bandwidth"],
  ] as const)
    if (given[option] !== undefined && given[option] !== lab[option])
      throw new AntipodeError(
        "INVALID_ARGUMENT",
        `${name} is for a new lab: change this one's links with \`antipode link set\``,
      );
}

async function findEtcd(world: LabWorld, shape: Pick<LabShape, "etcd">): Promise<string> {
  if (shape.etcd === "embedded") return "";
  const found = await world.findProgram("etcd");
  if (found !== undefined) return found;
  throw new AntipodeError(
    "INVALID_ARGUMENT",
    "there is no `etcd` in PATH: install it, or leave out --etcd real",
  );
}

function folders(lab: LabFile): readonly string[] {
  return [
    "logs",
    "state/genesis",
    "state/wan",
    "config",
    ...lab.sites.flatMap((site) => [
      `config/${site.name}`,
      `sites/${site.name}/${lab.etcd === "real" ? "etcd-real" : "etcd"}`,
      ...Array.from({ length: site.cvms }, (_, index) => `sites/${site.name}/cvm-${index + 1}`),
    ]),
  ];
}
