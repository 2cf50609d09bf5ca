/**
 * The embedded etcd as a process: `node services/etcd/main.ts CONFIG.json`. Composition only.
 *
 * Ends with exit status 0 on SIGTERM or SIGINT, and with the failure's exit code otherwise. Standard
 * output gets one JSON line, `{"listening":{"host":…,"port":…}}`, when requests are served.
 */

import { readFile } from "node:fs/promises";
import { AntipodeError, errorTable, exitCode } from "../base/errors.ts";
import { createClock } from "../platform/adapters/clock.ts";
import { createCodec } from "../platform/adapters/codec.ts";
import { createDisk } from "../platform/adapters/disk.ts";
import { createLog } from "../platform/adapters/log.ts";
import { createRandom } from "../platform/adapters/random.ts";
import { createRpc } from "../platform/adapters/rpc.ts";
import type { Log } from "../platform/log.ts";
import { etcdBindings } from "./bindings.ts";
import { parseEtcdConfig } from "./config.ts";
import { EtcdEngine } from "./engine.ts";

/** The log lies in this folder of the data folder. */
const FOLDER = "wal";

async function run(argv: readonly string[], onLog: (log: Log) => void): Promise<void> {
  const path = argv[2];
  if (path === undefined) throw new AntipodeError("INVALID_ARGUMENT", "usage: main.ts CONFIG.json");
  const config = parseEtcdConfig(await readFile(path, "utf8"));
  const log = createLog({ level: config.logLevel, base: { service: "etcd" } });
  onLog(log);
  log.info({ event: "etcd.config", config }, "configuration");

  let stop: () => void = () => undefined;
  let fail: (error: unknown) => void = () => undefined;
  const stopped = new Promise<void>((resolve, reject) => {
    stop = resolve;
    fail = reject;
  });
  // Awaited below; a failure before that must not count as nobody's.
  stopped.catch(() => undefined);
  process.once("SIGTERM", stop);
  process.once("SIGINT", stop);

  const engine = await EtcdEngine.open({
    disk: createDisk(config.dataFolder),
    clock: createClock(),
    checksum: await createCodec(),
    random: createRandom(),
    log,
    folder: FOLDER,
    onFailed: fail,
  });
  const rpc = createRpc({ log });
  const server = await rpc.serve(config.listen, etcdBindings(engine));
  log.info({ event: "etcd.listening", ...server.address }, "listening");
  // Whoever started us may not listen any more; that is no reason to end.
  process.stdout.on("error", () => undefined);
  process.stdout.write(`${JSON.stringify({ listening: server.address })}\n`);
  await stopped;
  await server.close();
  await engine.close();
  log.info({ event: "etcd.stopped" }, "stopped");
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
  root?.fatal({ event: "etcd.failed", err: error, remedy: known?.remedy }, "cannot go on");
  process.exit(known === undefined ? 1 : exitCode[errorTable[known.code].exit]);
}
