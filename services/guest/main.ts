/**
 * Process `guest`: an emulated VM that writes to its vDisks and keeps its own record of what was
 * acknowledged: `node services/guest/main.js CONFIG.json`; the keys are in config.ts.
 *
 * Standard output: one JSON status a second, then a final one with `"final": true`. Ends by itself
 * when its duration is over, or when it is told to (platform/adapters/serviceMain.ts). Exit status 0
 * when the journal is complete.
 */

import { createClock } from "../platform/adapters/clock.ts";
import { createDisk } from "../platform/adapters/disk.ts";
import { createNet } from "../platform/adapters/net.ts";
import { createRandom } from "../platform/adapters/random.ts";
import {
  type OwnProcess,
  type RunningService,
  runService,
} from "../platform/adapters/serviceMain.ts";
import { type GuestConfig, loadGuestConfig } from "./config.ts";
import { SvwWriter } from "./writer.ts";

const STATUS_MS = 1000;

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

async function write(writer: SvwWriter, config: GuestConfig, signal: AbortSignal): Promise<void> {
  const { runId, seed } = config;
  const timer = setInterval(() => {
    print({ runId, ...writer.status() });
  }, STATUS_MS);
  try {
    const status = await writer.run(signal);
    print({ runId, seed, ...status, final: true });
  } finally {
    clearInterval(timer);
  }
}

function start(config: GuestConfig, { log }: OwnProcess): Promise<RunningService> {
  const disk = createDisk(config.historyFolder);
  const writer = new SvwWriter({ net: createNet(), clock: createClock(), disk, log }, config);
  const { runId, seed } = config;
  log.info({ event: "guest.started", runId, seed, vdisks: config.vdisks.length }, "guest started");
  const stop = new AbortController();
  const done = write(writer, config, stop.signal);
  return Promise.resolve({
    done,
    close: () => {
      stop.abort();
      return done;
    },
  });
}

await runService({
  service: "guest",
  argument: "CONFIG.json",
  configure: (value) => loadGuestConfig(value, freshRunId()),
  start,
});
