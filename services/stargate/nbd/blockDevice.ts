/**
 * What the NBD front-end serves: something with a size that is read and written in bytes. A vDisk,
 * wherever its owner runs, and a recovery point are block devices.
 *
 * Every acknowledged write is durable on all copies (P1), so FLUSH and FUA need no further work
 * than waiting for what was acknowledged. Errors are AntipodeErrors; the table in base/errors.ts
 * maps their code to an NBD errno.
 */

/** A run of bytes that is either stored data or reads as zero. */
export interface BlockRun {
  readonly lengthBytes: number;
  readonly kind: "data" | "zero";
}

export interface BlockDevice {
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  /** Exactly `length` bytes from `offset`, as parts in order; the parts are not changed later. */
  read(offset: number, length: number): Promise<readonly Uint8Array[]>;
  /** Resolves when the write is durable on every copy. The device may keep `data`. */
  write(offset: number, data: Uint8Array): Promise<void>;
  /** Makes the range read as zeros; used for WRITE_ZEROES and TRIM. Durable when it resolves. */
  zero(offset: number, length: number): Promise<void>;
  /** Resolves when everything acknowledged before is durable. */
  flush(): Promise<void>;
  /** Runs that cover exactly the range, neighbours of different kind. */
  runs(offset: number, length: number): Promise<readonly BlockRun[]>;
  /**
   * The client has left, and may already have gone on elsewhere: what is under way ends or fails; what has not
   * begun to take effect must not. May be called again.
   */
  onLeaving?(): void;
  /** The client went away. */
  close(): Promise<void>;
}

/** The exports of a front-end, by name: `vdisk` or `vdisk@recovery-point` (read-only). */
export interface BlockDevices {
  /** @throws AntipodeError `VDISK_NOT_FOUND` or `RECOVERY_POINT_NOT_FOUND` */
  open(exportName: string): Promise<BlockDevice>;
  /** Names that LIST offers. */
  list(): Promise<readonly string[]>;
}
