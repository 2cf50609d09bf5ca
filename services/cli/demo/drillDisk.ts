/** The disk of a drill: written through NBD, and later edited so that something is left to replicate. */

import { formatBytes, MIB } from "../../base/units.ts";
import { openSteadyDisk, writeDisk } from "../../guest/index.ts";
import { DISK, type DrillRun, LEDGER_BYTES, LEDGERS } from "./drillWorld.ts";

/** New content written before the last recovery point: enough to be killed in the middle of. */
const EDIT_BYTES_MAX = 192 * MIB;

/** Makes all vDisks at site A and writes the image to the disk. */
export async function writeImage(run: DrillRun): Promise<void> {
  const { image } = run.world;
  await run.actions.createVdisk("A", DISK, image.diskBytes);
  for (const ledger of LEDGERS) await run.actions.createVdisk("A", ledger, LEDGER_BYTES);
  const startedMs = run.clock.now();
  await stream(run, `writing ${DISK}`, image.open(), image.lengthBytes);
  const seconds = (run.clock.now() - startedMs) / 1000;
  run.note(
    `${formatBytes(image.lengthBytes)} written through NBD at ${formatBytes(Math.round(image.lengthBytes / seconds))}/s`,
  );
}

/** Overwrites the beginning of the disk with its own content, every byte plus one: new, and as compressible as before. */
export async function editDisk(run: DrillRun): Promise<void> {
  const { image } = run.world;
  const length = Math.min(EDIT_BYTES_MAX, Math.floor(image.lengthBytes / 2));
  await stream(run, `editing ${DISK}`, shifted(image.open(), length), length);
  run.note(`${formatBytes(length)} of the disk overwritten with new content`);
}

async function stream(
  run: DrillRun,
  label: string,
  source: AsyncIterable<Uint8Array>,
  totalBytes: number,
): Promise<void> {
  const { context, progress } = run.world;
  const client = await openSteadyDisk(context.world, await run.actions.targets("A", DISK));
  const bar = progress.bar(label, "bytes");
  try {
    await writeDisk(client, source, {
      pieceBytes: MIB,
      depth: 8,
      onProgress: (done) => {
        bar.update(done, totalBytes);
      },
    });
  } finally {
    bar.end();
    await client.close();
  }
}

async function* shifted(
  source: AsyncIterable<Uint8Array>,
  length: number,
): AsyncGenerator<Uint8Array> {
  let left = length;
  for await (const piece of source) {
    const out = new Uint8Array(Math.min(piece.length, left));
    for (let i = 0; i < out.length; i++) out[i] = ((piece[i] ?? 0) + 1) & 255;
    yield out;
    left -= out.length;
    if (left <= 0) return;
  }
}
