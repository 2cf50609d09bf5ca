/**
 * Cerebro as a process: `node services/cerebro/main.js CVM.json`. Composition only; how it ends is
 * told in platform/adapters/serviceMain.ts.
 */

import { type CvmConfig, parseCvmConfig } from "../base/siteConfig.ts";
import { createClock } from "../platform/adapters/clock.ts";
import { createCoordinator } from "../platform/adapters/coordinator.ts";
import { createDigests } from "../platform/adapters/digests.ts";
import { createRandom } from "../platform/adapters/random.ts";
import { createRpc } from "../platform/adapters/rpc.ts";
import {
  type OwnProcess,
  type RunningService,
  runService,
} from "../platform/adapters/serviceMain.ts";
import { createSigner } from "../platform/adapters/signer.ts";
import { Cerebro } from "./cerebro.ts";

async function start(config: CvmConfig, { log, fail }: OwnProcess): Promise<RunningService> {
  const clock = createClock();
  const rpc = createRpc({ log });
  const coordinator = createCoordinator({ rpc, clock, log, endpoints: config.coordinator });
  const site = {
    config,
    coordinator,
    rpc,
    clock,
    random: createRandom(),
    codec: await createDigests(),
    signer: createSigner(),
    log,
  };
  const cerebro = await Cerebro.start({ site, onBug: fail });
  log.info({ event: "cerebro.ready", cvm: config.cvm }, "ready");
  return {
    async close() {
      await cerebro.close();
      await coordinator.close();
      rpc.close();
    },
  };
}

await runService({
  service: "cerebro",
  argument: "CVM.json",
  configure: parseCvmConfig,
  logging: ({ logLevel, site, cvm }) => ({ level: logLevel, fields: { site, cvm } }),
  start,
});
