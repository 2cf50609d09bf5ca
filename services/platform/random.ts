/** Port: randomness for identities. Workloads and jitter use base/prng.ts with a seed instead. */

export interface Random {
  bytes(length: number): Uint8Array;
}
