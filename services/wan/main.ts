/** The wan process: `node main.js <wan.json>`. Carries all links of a lab and serves WanService. */

import { readFileSync } from "node:fs";
import { messageOf } from "../base/errors.ts";
import { createClock } from "../platform/adapters/clock.ts";
import { createDisk } from "../platform/adapters/disk.ts";
import { createLog } from "../platform/adapters/log.ts";
import { createNet } from "../platform/adapters/net.ts";
import { createRpc } from "../platform/adapters/rpc.ts";
import { wanBindings } from "./bindings.ts";
import { parseWanConfig } from "./config.ts";
import { Wan } from "./wan.ts";

const log = createLog({ level: "info", base: { service: "wan" } });

function end(status: number): never {
  process.exit(status);
}

function onFailure(err: unknown): void {
  log.fatal({ event: "wan.failed", err }, "wan failed");
  end(1);
}

process.on("uncaughtException", onFailure);
process.on("unhandledRejection", onFailure);

async function main(): Promise<void> {
  const path = process.argv[2];
  if (path === undefined) throw new Error("usage: wan <wan.json>");
  const config = parseWanConfig(JSON.parse(readFileSync(path, "utf8")));
  const wan = await Wan.start(config, {
    clock: createClock(),
    net: createNet(),
    state: createDisk(config.stateFolder),
    log,
    onFailure,
  });
  const server = await createRpc({ log }).serve(config.admin, wanBindings(wan));
  log.info({ event: "wan.started", links: config.links.length }, "wan started");
  for (const signal of ["SIGTERM", "SIGINT"] as const)
    process.once(signal, () => {
      // Connections are not waited for: a link that ends drops what it carries, as a cable does.
      void Promise.all([server.close(), wan.close()]).then(() => end(0), onFailure);
    });
}

main().catch((error: unknown) => {
  process.stderr.write(`wan: ${messageOf(error)}\n`);
  onFailure(error);
});
