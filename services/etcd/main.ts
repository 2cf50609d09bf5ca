/**
 * The embedded etcd as a process: `node services/etcd/main.js CONFIG.json`. Composition only; how it
 * ends is told in platform/adapters/serviceMain.ts. Standard output gets one JSON line,
 * `{"listening":{"host":…,"port":…}}`, when requests are served.
 */

import { createClock } from "../platform/adapters/clock.ts";
import { createDigests } from "../platform/adapters/digests.ts";
import { createFaultableDisk } from "../platform/adapters/faultableDisk.ts";
import { createRandom } from "../platform/adapters/random.ts";
import { createRpc } from "../platform/adapters/rpc.ts";
import {
  type OwnProcess,
  type RunningService,
  runService,
} from "../platform/adapters/serviceMain.ts";
import { DISK_FAULTS_VARIABLE } from "../platform/diskFaults.ts";
import { etcdBindings } from "./bindings.ts";
import { type EtcdConfig, parseEtcdConfig } from "./config.ts";
import { EtcdEngine } from "./engine.ts";

/** The log lies in this folder of the data folder. */
const FOLDER = "wal";

async function start(config: EtcdConfig, { log, fail }: OwnProcess): Promise<RunningService> {
  log.info({ event: "etcd.config", config }, "configuration");
  const clock = createClock();
  const orders = process.env[DISK_FAULTS_VARIABLE];
  const engine = await EtcdEngine.open({
    disk: createFaultableDisk(config.dataFolder, { clock, log, orders }),
    clock,
    checksum: await createDigests(),
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
  return {
    async close() {
      await server.close();
      await engine.close();
    },
  };
}

await runService({
  service: "etcd",
  argument: "CONFIG.json",
  configure: parseEtcdConfig,
  logging: ({ logLevel }) => ({ level: logLevel }),
  start,
});
