/** Views between Uint8Array, which the ports speak, and Node's Buffer, without copying. */

/** The same bytes as a Buffer, for Node's own functions. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The same bytes as a plain Uint8Array: Buffer's `slice` and `toString` differ from what callees expect. */
export function asBytes(buffer: Uint8Array): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}
