/**
 * A block device in memory for tests of the NBD front-end and of its clients: sparse in pages of
 * 64 KiB, with a journal of calls and failures that a test can arm. First-class fake: it keeps the
 * contract of services/stargate/nbd/blockDevice.ts.
 */

import { AntipodeError } from "../../services/base/errors.ts";
import type {
  BlockDevice,
  BlockDevices,
  BlockRun,
} from "../../services/stargate/nbd/blockDevice.ts";

const PAGE_BYTES = 65_536;
const ZERO_PAGE = new Uint8Array(PAGE_BYTES);

export interface MemoryDevice extends BlockDevice {
  /** Makes the next calls fail with this error, until it is called without one. */
  failWith(error: Error | undefined): void;
  /** Holds every call until the function returned is called. */
  hold(): () => void;
  /** Times `close` was called. */
  readonly closed: number;
  /** Calls made so far. */
  readonly calls: number;
  /** Calls that have not been answered. */
  readonly inflight: number;
  /** The most calls that were ever unanswered together. */
  readonly inflightPeak: number;
}

export interface MemoryDeviceOptions {
  readonly sizeBytes: number;
  readonly readOnly?: boolean;
}

/** A device that reads as zeros. */
export function createMemoryDevice(options: MemoryDeviceOptions): MemoryDevice {
  const pages = new Map<number, Uint8Array>();
  let failure: Error | undefined;
  let gate: Promise<void> | undefined;
  const counts = { closed: 0, calls: 0, inflight: 0, inflightPeak: 0 };

  const read = (offset: number, length: number): readonly Uint8Array[] => {
    const parts: Uint8Array[] = [];
    for (let at = offset; at < offset + length; ) {
      const inPage = at % PAGE_BYTES;
      const count = Math.min(PAGE_BYTES - inPage, offset + length - at);
      const page = pages.get(Math.floor(at / PAGE_BYTES)) ?? ZERO_PAGE;
      parts.push(page.slice(inPage, inPage + count));
      at += count;
    }
    return parts;
  };
  const write = (offset: number, data: Uint8Array): void => {
    for (let at = 0; at < data.length; ) {
      const index = Math.floor((offset + at) / PAGE_BYTES);
      const inPage = (offset + at) % PAGE_BYTES;
      const count = Math.min(PAGE_BYTES - inPage, data.length - at);
      const page = pages.get(index) ?? new Uint8Array(PAGE_BYTES);
      pages.set(index, page);
      page.set(data.subarray(at, at + count), inPage);
      at += count;
    }
  };
  const zero = (offset: number, length: number): void => {
    for (let at = offset; at < offset + length; ) {
      const index = Math.floor(at / PAGE_BYTES);
      const inPage = at % PAGE_BYTES;
      const count = Math.min(PAGE_BYTES - inPage, offset + length - at);
      if (count === PAGE_BYTES) pages.delete(index);
      else pages.get(index)?.fill(0, inPage, inPage + count);
      at += count;
    }
  };
  const runs = (offset: number, length: number): readonly BlockRun[] => {
    const found: { lengthBytes: number; kind: BlockRun["kind"] }[] = [];
    for (let at = offset; at < offset + length; ) {
      const count = Math.min(PAGE_BYTES - (at % PAGE_BYTES), offset + length - at);
      const kind = pages.has(Math.floor(at / PAGE_BYTES)) ? "data" : "zero";
      const last = found.at(-1);
      if (last?.kind === kind) last.lengthBytes += count;
      else found.push({ lengthBytes: count, kind });
      at += count;
    }
    return found;
  };
  const call = async <T>(work: () => T): Promise<T> => {
    counts.calls += 1;
    counts.inflight += 1;
    counts.inflightPeak = Math.max(counts.inflightPeak, counts.inflight);
    try {
      if (gate !== undefined) await gate;
      if (failure !== undefined) throw failure;
      return work();
    } finally {
      counts.inflight -= 1;
    }
  };

  return {
    sizeBytes: options.sizeBytes,
    readOnly: options.readOnly ?? false,
    read: (offset, length) => call(() => read(offset, length)),
    write: (offset, data) =>
      call(() => {
        write(offset, data);
      }),
    zero: (offset, length) =>
      call(() => {
        zero(offset, length);
      }),
    flush: () => call(() => undefined),
    runs: (offset, length) => call(() => runs(offset, length)),
    close() {
      counts.closed += 1;
      return Promise.resolve();
    },
    failWith(error) {
      failure = error;
    },
    hold() {
      let open = (): void => undefined;
      gate = new Promise((resolve) => {
        open = resolve;
      });
      return () => {
        gate = undefined;
        open();
      };
    },
    get closed() {
      return counts.closed;
    },
    get calls() {
      return counts.calls;
    },
    get inflight() {
      return counts.inflight;
    },
    get inflightPeak() {
      return counts.inflightPeak;
    },
  };
}

/** Serves the given devices by name. */
export function createMemoryDevices(devices: Readonly<Record<string, BlockDevice>>): BlockDevices {
  return {
    open(exportName) {
      const device = Object.hasOwn(devices, exportName) ? devices[exportName] : undefined;
      if (device !== undefined) return Promise.resolve(device);
      return Promise.reject(
        new AntipodeError("VDISK_NOT_FOUND", `no vDisk is called ${exportName}`),
      );
    },
    list: () => Promise.resolve(Object.keys(devices)),
  };
}
