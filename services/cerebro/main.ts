/**
 * Cerebro as a process: `node services/cerebro/main.js CVM.json`. Composition only.
 *
 * Ends with exit status 0 on SIGTERM or SIGINT, and with the failure's exit code otherwise.
 */

import { readFile } from "node:fs/promises";
import { AntipodeError, errorTable, exitCode } from "../base/errors.ts";
import { parseCvmConfig } from "../base/siteConfig.ts";
import { createClock } from "../platform/adapters/clock.ts";
import { createCodec, createSigner } from "../platform/adapters/codec.ts";
import { createCoordinator } from "../platform/adapters/coordinator.ts";
import { createLog } from "../platform/adapters/log.ts";
import { createRandom } from "../platform/adapters/random.ts";
import { createRpc } from "../platform/adapters/rpc.ts";
import type { Log } from "../platform/log.ts";
import { Cerebro } from "./cerebro.ts";

async function run(argv: readonly string[], onLog: (log: Log) => void): Promise<void> {
  const path = argv[2];
  if (path === undefined) throw new AntipodeError("INVALID_ARGUMENT", "usage: main.js CVM.json");
  const config = parseCvmConfig(JSON.parse(await readFile(path, "utf8")));
  const log = createLog({
    level: config.logLevel,
    base: { service: "cerebro", site: config.site, cvm: config.cvm },
  });
  onLog(log);
  let onBug: (error: unknown) => void = () => undefined;
  const stopped = new Promise<void>((resolve, reject) => {
    onBug = reject;
    process.once("SIGTERM", () => {
      resolve();
    });
    process.once("SIGINT", () => {
      resolve();
    });
  });
  const clock = createClock();
  const rpc = createRpc({ log });
  const coordinator = createCoordinator({ rpc, clock, log, endpoints: config.coordinator });
  const codec = await createCodec();
  const site = {
    config,
    coordinator,
    rpc,
    clock,
    random: createRandom(),
    codec,
    signer: createSigner(),
    log,
  };
  const cerebro = await Cerebro.start({
    site,
    onBug: (error) => {
      onBug(error);
    },
  });
  log.info({ event: "cerebro.ready", cvm: config.cvm }, "ready");
  await stopped;
  await cerebro.close();
  await coordinator.close();
  rpc.close();
  log.info({ event: "cerebro.stopped" }, "stopped");
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
  root?.fatal({ event: "cerebro.failed", err: error, remedy: known?.remedy }, "cannot go on");
  process.exit(known === undefined ? 1 : exitCode[errorTable[known.code].exit]);
}
