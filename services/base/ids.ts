/**
 * Branded words, so that an LSN is never passed where an epoch is meant. They are plain numbers and
 * strings at run time. 64 bits on disk and wire; the codecs assert that they are safe numbers.
 */

declare const brand: unique symbol;
type Branded<T, Name extends string> = T & { readonly [brand]: Name };

/** Position of a record in a vDisk's oplog, dense from 1; 0 means "before the first". */
export type Lsn = Branded<number, "Lsn">;
/** Fencing number; grows with every change of owner or leader; 0 means "none yet". */
export type Epoch = Branded<number, "Epoch">;
/** Milliseconds of the monotonic clock of one process. Never compared between processes. */
export type MonotonicMs = Branded<number, "MonotonicMs">;
/** Milliseconds since 1970 by the wall clock. A label, never an input of a decision. */
export type WallMs = Branded<number, "WallMs">;
/** Identity of a vDisk inside its site: 16 bytes, 32 lower-case hexadecimal digits. */
export type VdiskId = Branded<string, "VdiskId">;

export const lsn = (value: number): Lsn => value as Lsn;
export const epoch = (value: number): Epoch => value as Epoch;
export const vdiskId = (value: string): VdiskId => value as VdiskId;
export const monotonicMs = (value: number): MonotonicMs => value as MonotonicMs;
export const wallMs = (value: number): WallMs => value as WallMs;
