/**
 * Keys as the embedded server holds them: one character a byte, so that JavaScript's order of
 * strings is etcd's order of bytes and a key can be a Map's key.
 */

/** Several thousand arguments are safe on every engine's stack; more are not. */
const CHARACTERS_AT_ONCE = 4096;

/** A key's bytes as text, one character a byte. */
export function keyText(bytes: Uint8Array): string {
  if (bytes.length <= CHARACTERS_AT_ONCE) return String.fromCharCode(...bytes);
  let text = "";
  for (let at = 0; at < bytes.length; at += CHARACTERS_AT_ONCE)
    text += String.fromCharCode(...bytes.subarray(at, at + CHARACTERS_AT_ONCE));
  return text;
}

/** Inverse of `keyText`. */
export function keyBytes(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** Keys from `from` (inclusive) to `to` (exclusive; `undefined` is no end). */
export interface KeyRange {
  readonly from: string;
  readonly to: string | undefined;
}

/**
 * etcd's convention for `key` and `range_end`: no end is the one key, an end of one zero byte is
 * every key from `key` on.
 */
export function keyRange(key: Uint8Array, rangeEnd: Uint8Array): KeyRange {
  const from = keyText(key);
  if (rangeEnd.length === 0) return { from, to: `${from}\0` };
  if (rangeEnd.length === 1 && rangeEnd[0] === 0) return { from, to: undefined };
  return { from, to: keyText(rangeEnd) };
}

/** Whether the key lies in the range. */
export function inRange(range: KeyRange, key: string): boolean {
  return key >= range.from && (range.to === undefined || key < range.to);
}
