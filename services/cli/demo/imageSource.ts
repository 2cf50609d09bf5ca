/**
 * What the drill writes on its disk: the image that the user gives, or real files of this machine laid
 * out as a tar archive, so that what comes back can be unpacked with `tar` and looked at.
 *
 * Real content matters: compression, deduplication and zero ranges are those of real files. Order is
 * by path, so two runs on one machine write the same bytes.
 */

import { createReadStream } from "node:fs";
import { lstat, open, readdir } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { AntipodeError } from "../../base/errors.ts";
import { MIB } from "../../base/units.ts";

/** A stream of bytes with a length known before. */
export interface ImageSource {
  readonly description: string;
  /** Bytes that `open` gives. */
  readonly lengthBytes: number;
  /** Size of the vDisk that holds them: a multiple of 1 MiB. */
  readonly diskBytes: number;
  open(): AsyncIterable<Uint8Array>;
}

/** The default image has at least this much. */
const DEFAULT_BYTES_MIN = 512 * MIB;
const BLOCK_BYTES = 512;
const READ_BYTES = MIB;
/** A single file larger than this would be most of the image. */
const FILE_BYTES_MAX = 160 * MIB;

/** The user's image, as it is. @throws AntipodeError `INVALID_ARGUMENT` */
export async function imageFromFile(path: string): Promise<ImageSource> {
  const stat = await lstat(resolve(path)).catch((cause: unknown) => {
    throw new AntipodeError(
      "INVALID_ARGUMENT",
      `the disk image ${path} cannot be read`,
      { path },
      cause,
    );
  });
  if (!stat.isFile() || stat.size === 0)
    throw new AntipodeError(
      "INVALID_ARGUMENT",
      `the disk image ${path} is not a file with content`,
      { path },
    );
  return {
    description: path,
    lengthBytes: stat.size,
    diskBytes: Math.max(1, Math.ceil(stat.size / MIB)) * MIB,
    open: () => createReadStream(path, { highWaterMark: READ_BYTES }),
  };
}

interface FileEntry {
  readonly path: string;
  readonly sizeBytes: number;
  readonly mtimeMs: number;
}

/** Real files of this machine: our installed packages, the Node binary, then what the system has. */
export async function imageFromMachine(): Promise<ImageSource> {
  const project = resolve(dirname(fileURLToPath(import.meta.url)), "../../../..");
  const roots = [
    join(project, "node_modules"),
    process.execPath,
    "/usr/lib",
    "/usr/share",
    "/usr/bin",
    "/bin",
    "/Library",
  ];
  const files: FileEntry[] = [];
  let bytes = 0;
  for (const root of roots) {
    for await (const file of filesBelow(root)) {
      files.push(file);
      bytes += archivedBytes(file);
      if (bytes >= DEFAULT_BYTES_MIN) break;
    }
    if (bytes >= DEFAULT_BYTES_MIN) break;
  }
  // Machines with less than half a GiB of readable files get them a second time: less unique, still real.
  const passes =
    bytes >= DEFAULT_BYTES_MIN ? 1 : Math.ceil(DEFAULT_BYTES_MIN / Math.max(bytes, MIB));
  const lengthBytes = bytes * passes + 2 * BLOCK_BYTES;
  return {
    description: `${files.length} real files of this machine as a tar archive`,
    lengthBytes,
    diskBytes: Math.ceil(lengthBytes / MIB) * MIB,
    open: () => archive(files, passes),
  };
}

function archivedBytes(file: FileEntry): number {
  return BLOCK_BYTES + Math.ceil(file.sizeBytes / BLOCK_BYTES) * BLOCK_BYTES;
}

/** Regular readable files, depth first, by name. What cannot be read is not part of the image. */
async function* filesBelow(root: string): AsyncGenerator<FileEntry> {
  const stat = await lstat(root).catch(() => undefined);
  if (stat === undefined) return;
  if (stat.isFile()) {
    if (stat.size > 0 && stat.size <= FILE_BYTES_MAX && (await isReadable(root)))
      yield { path: root, sizeBytes: stat.size, mtimeMs: stat.mtimeMs };
    return;
  }
  if (!stat.isDirectory()) return;
  const names = await readdir(root).catch(() => []);
  for (const name of names.sort()) yield* filesBelow(join(root, name));
}

async function isReadable(path: string): Promise<boolean> {
  const file = await open(path, "r").catch(() => undefined);
  await file?.close();
  return file !== undefined;
}

async function* archive(files: readonly FileEntry[], passes: number): AsyncGenerator<Uint8Array> {
  for (let pass = 1; pass <= passes; pass++)
    for (const file of files) {
      yield tarHeader(file, pass);
      yield* contentOf(file);
    }
  yield new Uint8Array(2 * BLOCK_BYTES);
}

/** Exactly the announced length, whatever happens to the file meanwhile, padded to a block. */
async function* contentOf(file: FileEntry): AsyncGenerator<Uint8Array> {
  const handle = await open(file.path, "r");
  try {
    let at = 0;
    while (at < file.sizeBytes) {
      const want = Math.min(READ_BYTES, file.sizeBytes - at);
      const piece = new Uint8Array(want);
      await handle.read(piece, 0, want, at);
      yield piece;
      at += want;
    }
    const padding = (BLOCK_BYTES - (file.sizeBytes % BLOCK_BYTES)) % BLOCK_BYTES;
    if (padding > 0) yield new Uint8Array(padding);
  } finally {
    await handle.close();
  }
}

/** A ustar header; names longer than it can hold keep their end. */
function tarHeader(file: FileEntry, pass: number): Uint8Array {
  const header = Buffer.alloc(BLOCK_BYTES);
  const name = `${pass > 1 ? `pass-${pass}/` : ""}${file.path.replace(/^\/+/, "")}`;
  const slash = name.length > 100 ? name.indexOf("/", Math.max(0, name.length - 101)) : -1;
  const prefix = slash > 0 ? name.slice(0, slash).slice(-155) : "";
  header.write(slash > 0 ? name.slice(slash + 1).slice(-100) : name.slice(-100), 0, 100);
  header.write("0000644\0", 100);
  header.write("0000000\0", 108);
  header.write("0000000\0", 116);
  header.write(`${file.sizeBytes.toString(8).padStart(11, "0")}\0`, 124);
  header.write(
    `${Math.floor(file.mtimeMs / 1000)
      .toString(8)
      .padStart(11, "0")}\0`,
    136,
  );
  header.write("        ", 148);
  header.write("0", 156);
  header.write("ustar\0" + "00", 257);
  header.write(prefix, 345, 155);
  let sum = 0;
  for (const byte of header) sum += byte;
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return header;
}
