/**
 * Process `guest`: an emulated VM that writes to its vDisks and keeps its own record of what was
 * acknowledged. Usage: `guest CONFIG.json`; the keys are in config.ts.
 *
 * Standard output: one JSON status a second, then a final one with `"final": true`. Ends by itself
 * when its duration is over, or on SIGTERM or SIGINT. Exit status 0 when the journal is complete.
 */

import { readFile } from "node:fs/promises";
import { AntipodeError, errorTable, exitCode, messageOf } from "../base/errors.ts";
import { createClock } from "../platform/adapters/clock.ts";
import { createDisk } from "../platform/adapters/disk.ts";
import { createLog } from "../platform/adapters/log.ts";
import { createNet } from "../platform/adapters/net.ts";
import { createRandom } from "../platform/adapters/random.ts";
import { loadGuestConfig } from "./config.ts";
import { SvwWriter } from "./writer.ts";

const STATUS_MS = 1000;

const log = createLog({ level: "info", base: { service: "guest" } });

/** 48 random bits, not zero. */
function freshRunId(): number {
  return (
    createRandom()
      .bytes(6)
      .reduce((value, byte) => value * 256 + byte, 0) || 1
  );
}

function print(status: object): void {
  process.stdout.write(`${JSON.stringify(status)}\n`);
}

async function run(path: string | undefined): Promise<void> {
  if (path === undefined) throw new AntipodeError("INVALID_ARGUMENT", "usage: guest CONFIG.json");
  const config = loadGuestConfig(await readFile(path, "utf8"), freshRunId());
  const clock = createClock();
  const stop = new AbortController();
  process.once("SIGTERM", () => {
    stop.abort();
  });
  process.once("SIGINT", () => {
    stop.abort();
  });
  const world = { net: createNet(), clock, disk: createDisk(config.historyFolder), log };
  const writer = new SvwWriter(world, config);
  const { runId, seed } = config;
  log.info({ event: "guest.started", runId, seed, vdisks: config.vdisks.length }, "guest started");
  const timer = setInterval(() => {
    print({ runId, ...writer.status() });
  }, STATUS_MS);
  try {
    const status = await writer.run(stop.signal);
    print({ runId, seed, ...status, final: true });
  } finally {
    clearInterval(timer);
  }
}

run(process.argv[2]).then(
  () => {},
  (error: unknown) => {
    const code = error instanceof AntipodeError ? error.code : undefined;
    log.fatal({ event: "guest.failed", code, err: error }, "guest failed");
    process.stderr.write(`guest: ${messageOf(error)}\n`);
    process.exit(code === undefined ? 1 : exitCode[errorTable[code].exit]);
  },
);
