/**
 * Stargate as a process: `node services/stargate/main.js CVM.json`. Composition only; how it ends is
 * told in platform/adapters/serviceMain.ts.
 */

import { join } from "node:path";
import { type CvmConfig, parseCvmConfig } from "../base/siteConfig.ts";
import { createClock } from "../platform/adapters/clock.ts";
import { createCodec } from "../platform/adapters/codec.ts";
import { createCoordinator } from "../platform/adapters/coordinator.ts";
import { createFaultableDisk } from "../platform/adapters/faultableDisk.ts";
import { createKeyIndexes } from "../platform/adapters/keyIndex.ts";
import { createNet } from "../platform/adapters/net.ts";
import { createRandom } from "../platform/adapters/random.ts";
import { createRpc } from "../platform/adapters/rpc.ts";
import {
  type OwnProcess,
  type RunningService,
  runService,
} from "../platform/adapters/serviceMain.ts";
import { DISK_FAULTS_VARIABLE } from "../platform/diskFaults.ts";
import { startStargate } from "./stargate.ts";

async function start(config: CvmConfig, { log, fail }: OwnProcess): Promise<RunningService> {
  const clock = createClock();
  const rpc = createRpc({ log });
  const folder = join(config.dataFolder, "stargate");
  const orders = process.env[DISK_FAULTS_VARIABLE];
  const disk = createFaultableDisk(folder, { clock, log, orders });
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
    onDiskFailed: fail,
    onBug: fail,
  });
  return {
    async close() {
      await stargate.close();
      rpc.close();
    },
  };
}

await runService({
  service: "stargate",
  argument: "CVM.json",
  configure: parseCvmConfig,
  logging: ({ logLevel, site, cvm }) => ({ level: logLevel, fields: { site, cvm } }),
  start,
});
