/**
 * The genesis process: `node main.js <layout.json>`. Serves GenesisService, adopts what an earlier
 * genesis left, starts the rest. SIGTERM and SIGINT end all services, then genesis; SIGKILL leaves
 * the services running for the next genesis to adopt.
 */

import { readFileSync } from "node:fs";
import { messageOf } from "../base/errors.ts";
import { createClock } from "../platform/adapters/clock.ts";
import { createDisk } from "../platform/adapters/disk.ts";
import { createLog } from "../platform/adapters/log.ts";
import { createNet } from "../platform/adapters/net.ts";
import { createProcesses } from "../platform/adapters/processes.ts";
import { createRpc } from "../platform/adapters/rpc.ts";
import { genesisBindings } from "./bindings.ts";
import { parseLayout } from "./layout.ts";
import { answers } from "./probes.ts";
import { Supervisor } from "./supervisor.ts";

const log = createLog({ level: "info", base: { service: "genesis" } });

function end(status: number): never {
  process.exit(status);
}

function onFailure(err: unknown): void {
  log.fatal({ event: "genesis.failed", err }, "genesis failed");
  end(1);
}

process.on("uncaughtException", onFailure);
process.on("unhandledRejection", onFailure);

async function main(): Promise<void> {
  const path = process.argv[2];
  if (path === undefined) throw new Error("usage: genesis <layout.json>");
  const layout = parseLayout(JSON.parse(readFileSync(path, "utf8")));
  const clock = createClock();
  const processes = createProcesses();
  const net = createNet();
  const rpc = createRpc({ log });
  const records = createDisk(layout.stateFolder);
  await records.makeFolder("");
  const environment = Object.fromEntries(
    Object.entries(process.env).flatMap(([key, value]) =>
      value === undefined ? [] : [[key, value] as const],
    ),
  );
  const supervisor = new Supervisor(layout, {
    clock,
    processes,
    records,
    log,
    environment,
    answers: (kind, address) => answers({ net, rpc }, kind, address),
    onFailure,
  });
  const self = (await processes.find(process.pid))?.handle ?? { pid: process.pid, startedAt: "" };
  const close = (): void => {
    void server.close().then(() => end(0), onFailure);
  };
  // Listening first: of two geneses with one layout the second ends here, before it starts anything.
  const server = await rpc.serve(
    layout.admin,
    genesisBindings({ supervisor, processes, self, onShutdown: () => clock.after(0, close) }),
  );
  for (const signal of ["SIGTERM", "SIGINT"] as const)
    process.once(signal, () => void supervisor.shutdown().then(close, onFailure));
  log.info({ event: "genesis.started", services: layout.services.length }, "genesis started");
  await supervisor.boot();
}

main().catch((error: unknown) => {
  process.stderr.write(`genesis: ${messageOf(error)}\n`);
  onFailure(error);
});
