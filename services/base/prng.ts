/**
 * A small seeded pseudo-random generator (splitmix32 seeding xoshiro128**), for ids of a simulated
 * world, jitter and workloads: one seed gives one sequence on every machine. Not for secrets.
 */

/** Uniform numbers; every method advances the sequence. */
export interface Prng {
  /** An integer in [0, 2^32). */
  uint32(): number;
  /** A number in [0, 1). */
  unit(): number;
  /** An integer in [0, bound); bound from 1 to 2^32. */
  below(bound: number): number;
  /** Fills the array with random bytes and returns it. */
  fill(out: Uint8Array): Uint8Array;
}

/** A generator for a seed; equal seeds give equal sequences. */
export function createPrng(seed: number): Prng {
  let mix = seed >>> 0;
  const splitmix = (): number => {
    mix = (mix + 0x9e3779b9) >>> 0;
    let z = mix;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return (z ^ (z >>> 15)) >>> 0;
  };
  let a = splitmix();
  let b = splitmix();
  let c = splitmix();
  let d = splitmix();

  const uint32 = (): number => {
    const product = Math.imul(b, 5);
    const result = Math.imul((product << 7) | (product >>> 25), 9) >>> 0;
    const shifted = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= shifted;
    d = (d << 11) | (d >>> 21);
    return result;
  };
  const unit = (): number => uint32() / 0x1_0000_0000;
  return {
    uint32,
    unit,
    below: (bound) => Math.floor(unit() * bound),
    fill(out) {
      for (let i = 0; i < out.length; i += 4) {
        let word = uint32();
        for (let j = i; j < Math.min(i + 4, out.length); j++) {
          out[j] = word & 255;
          word >>>= 8;
        }
      }
      return out;
    },
  };
}
