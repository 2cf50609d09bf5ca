/**
 * Stargate as a process: `node services/stargate/main.js CVM.json`. Composition only.
 *
 * Ends with exit status 0 on SIGTERM or SIGINT, and with the failure's exit code otherwise.
 */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { AntipodeError, errorTable, exitCode } from "../base/errors.ts";
import { parseCvmConfig } from "../base/siteConfig.ts";
import { createClock } from "../platform/adapters/clock.ts";
import { createCodec } from "../platform/adapters/codec.ts";
import { createCoordinator } from "../platform/adapters/coordinator.ts";
import { createDisk } from "../platform/adapters/disk.ts";
import { createKeyIndexes } from "../platform/adapters/keyIndex.ts";
import { createLog } from "../platform/adapters/log.ts";
import { createNet } from "../platform/adapters/net.ts";
import { createRandom } from "../platform/adapters/random.ts";
import { createRpc } from "../platform/adapters/rpc.ts";
import type { Log } from "../platform/log.ts";
import { startStargate } from "./stargate.ts";

async function run(argv: readonly string[], onLog: (log: Log) => void): Promise<void> {
  const path = argv[2];
  if (path === undefined) throw new AntipodeError("INVALID_ARGUMENT", "usage: main.js CVM.json");
  const config = parseCvmConfig(JSON.parse(await readFile(path, "utf8")));
  const log = createLog({
    level: config.logLevel,
    base: { service: "stargate", site: config.site, cvm: config.cvm },
  });
  onLog(log);
  let fail: (error: AntipodeError) => void = () => undefined;
  const stopped = new Promise<void>((resolve, reject) => {
    fail = reject;
    process.once("SIGTERM", () => {
      resolve();
    });
    process.once("SIGINT", () => {
      resolve();
    });
  });
  const clock = createClock();
  const rpc = createRpc({ log });
  const folder = join(config.dataFolder, "stargate");
  const disk = createDisk(folder);
  await disk.makeFolder("");
  const stargate = await startStargate({
    config,
    clock,
    codec: await createCodec(),
    coordinator: createCoordinator({ rpc, clock, log, endpoints: config.coordinator }),
    disk,
    indexes: createKeyIndexes(folder),
    log,
    net: createNet(),
    random: createRandom(),
    rpc,
    // Nothing is closed in order: the disk cannot be trusted with it.
    onDiskFailed: fail,
  });
  await stopped;
  await stargate.close();
  rpc.close();
  log.info({ event: "stargate.stopped" }, "stopped");
}

let root: Log | undefined;
try {
  await run(process.argv, (log) => {
    root = log;
  });
  process.exit(0);
} catch (error) {
  const known = error instanceof AntipodeError ? error : undefined;
  if (root === undefined) process.stderr.write(`${String(error)}\n`);
  root?.fatal({ event: "stargate.failed", err: error, remedy: known?.remedy }, "cannot go on");
  process.exit(known === undefined ? 1 : exitCode[errorTable[known.code].exit]);
}
