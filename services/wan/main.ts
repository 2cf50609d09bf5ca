/**
 * The wan process: `node services/wan/main.js WAN.json`. Carries all links of a lab and serves
 * WanService. Composition only; how it ends is told in platform/adapters/serviceMain.ts.
 */

import { createClock } from "../platform/adapters/clock.ts";
import { createDisk } from "../platform/adapters/disk.ts";
import { createNet } from "../platform/adapters/net.ts";
import { createRpc } from "../platform/adapters/rpc.ts";
import {
  type OwnProcess,
  type RunningService,
  runService,
} from "../platform/adapters/serviceMain.ts";
import { FaultLeases } from "../platform/faultLeases.ts";
import { wanBindings } from "./bindings.ts";
import { parseWanConfig, type WanConfig } from "./config.ts";
import { linkFaultKind } from "./linkFaults.ts";
import { Wan } from "./wan.ts";

async function start(config: WanConfig, { log, fail }: OwnProcess): Promise<RunningService> {
  const clock = createClock();
  const state = createDisk(config.stateFolder);
  const wan = await Wan.start(config, {
    clock,
    net: createNet(),
    state,
    log,
    onFailure: fail,
  });
  const faults = await FaultLeases.open({ clock, disk: state, log }, linkFaultKind(wan));
  const server = await createRpc({ log }).serve(config.admin, wanBindings(wan, faults));
  log.info({ event: "wan.started", links: config.links.length }, "wan started");
  return {
    // Connections are not waited for: a link that ends drops what it carries, as a cable does.
    async close() {
      faults.close();
      await Promise.all([server.close(), wan.close()]);
    },
  };
}

await runService({
  service: "wan",
  argument: "WAN.json",
  configure: parseWanConfig,
  logging: ({ logLevel }) => ({ level: logLevel }),
  start,
});
